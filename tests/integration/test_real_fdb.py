"""The whole path, from the REST API to a real FDB and back, with the demonstration's configuration."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest
from caller import Caller
from fdb_fields import FILED
from grib_messages import encode, encode_member

from polytope_demonstration import fields, setup
from polytope_server.datasource.fdb import grib
from testbed.server import StandaloneServer

pytestmark = pytest.mark.unmeasured

DAY = date(2026, 1, 1)
#: Coarser than the demonstration's, which takes seconds to compute.
GRID = 32
STEPS = (0, 6)
SURFACE = {"levtype": "sfc", "expver": "demo", "date": "2026-01-01"}
UPPER = {**SURFACE, "levtype": "pl"}


@pytest.fixture(scope="module")
def messages() -> dict[tuple[str, int, int | None], bytes]:
    """Fields by parameter, step and level."""
    made = {}
    for step in STEPS:
        values = fields.compute(DAY, step, GRID)
        for param, level in (("2t", None), ("msl", None), ("t", 500), ("t", 1000)):
            label = fields.Label(param, DAY, step, level, "demo")
            made[param, step, level] = fields.encode(label, values[param, level], GRID)
    return made


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandaloneServer]:
    """A server with the data sources of the demonstration and nothing in its FDB."""
    data = tmp_path_factory.mktemp("fdb")
    root = data / "fdb"
    root.mkdir()
    (root / "schema").write_text(FILED)
    made = setup.configuration(root, 0, "not used")
    names = made["collections"]["demo"]["datasources"]
    config = {
        "datasources": made["datasources"],
        "collections": {"demo": {"roles": {"test": ["default"]}, "datasources": names}},
        "coercion": {"number_allow_zero": True},
    }
    with StandaloneServer(data / "server", config) as server:
        yield server


@pytest.fixture(scope="module")
def full(empty: StandaloneServer, caller_of: type[Caller], messages: dict[Any, bytes]) -> StandaloneServer:
    """The same, when all the messages have been archived through the REST API."""
    caller = caller_of(empty)
    answer = archive(caller, {"expver": "demo"}, b"".join(messages.values()))
    assert answer.json() == {
        "message": "Success",
        "status": "processed",
        "location": answer.json()["location"],
    }
    return empty


@pytest.fixture
def alice(full: StandaloneServer, caller_of: type[Caller]) -> Caller:
    return caller_of(full)


def archive(caller: Caller, metadata: Any, data: bytes) -> Any:
    """Submit an archive request, upload its data, and wait for its end."""
    request_id = caller.submit("demo", metadata, "archive")
    headers = {"X-Checksum": hashlib.md5(data).hexdigest(), "Content-Type": "application/x-grib"}
    assert caller("POST", f"/uploads/{request_id}", data=data, headers=headers).status_code == 202
    return caller.end_of(request_id)


def retrieve(caller: Caller, request: Any) -> bytes:
    answer = caller.end_of(caller.submit("demo", request))
    assert answer.status_code == 303, answer.text
    assert answer.json()["contentType"] == "application/x-grib"
    data = caller.get(answer.headers["Location"].removeprefix(".."))
    assert data.headers["Content-Type"] == "application/x-grib"
    return data.content


def failure(caller: Caller, request: Any) -> str:
    answer = caller.end_of(caller.submit("demo", request))
    assert answer.status_code == 400, answer.text
    head, _, reason = answer.json()["message"].partition("\n")
    assert head == "Request failed with error:"
    return str(reason)


def split(data: bytes) -> list[bytes]:
    return sorted(map(bytes, grib.split([data], 1 << 20)))


def test_an_archived_field_comes_back_byte_for_byte(alice: Caller, messages: dict[Any, bytes]) -> None:
    assert retrieve(alice, {**SURFACE, "param": "2t", "step": 0}) == messages["2t", 0, None]


@pytest.mark.parametrize("form", ["yaml", "mars"])
def test_the_request_may_be_a_text(alice: Caller, messages: dict[Any, bytes], form: str) -> None:
    pairs = {**UPPER, "param": "t", "levelist": "500", "step": "6"}
    separator, joined = (": ", "\n") if form == "yaml" else (" = ", ", ")
    text = joined.join(f"{key}{separator}{value}" for key, value in pairs.items())
    assert retrieve(alice, text) == messages["t", 6, 500]


@pytest.mark.parametrize("steps", [[0, 6], "0/6", "0/to/6/by/6"])
def test_several_fields_come_in_one_result(alice: Caller, messages: dict[Any, bytes], steps: Any) -> None:
    data = retrieve(alice, {**SURFACE, "param": ["2t", "msl"], "step": steps})
    expected = [messages[param, step, None] for param in ("2t", "msl") for step in STEPS]
    assert split(data) == sorted(expected)


def test_levels_and_steps_are_multiplied(alice: Caller, messages: dict[Any, bytes]) -> None:
    data = retrieve(alice, {**UPPER, "param": "t", "levelist": "500/1000", "step": "0/6"})
    assert split(data) == sorted(messages["t", step, level] for step in STEPS for level in (500, 1000))


def test_a_field_that_is_missing_fails_the_request_and_is_named(alice: Caller) -> None:
    reason = failure(alice, {**SURFACE, "param": "2t", "step": "0/6/12/18"})
    assert reason.startswith("2 of 4 fields are not available: ")
    assert "12" in reason
    assert "18" in reason


def test_fields_that_are_all_missing_fail_the_request(alice: Caller) -> None:
    assert failure(alice, {**SURFACE, "param": "10u", "step": "0/6"}).startswith(
        "2 of 2 fields are not available: "
    )


def test_what_was_archived_later_is_seen(alice: Caller) -> None:
    label = fields.Label("10v", DAY, 0, None, "demo")
    message = fields.encode(label, fields.compute(DAY, 0, GRID)["10v", None], GRID)
    request = {**SURFACE, "param": "10v", "step": 0}
    assert failure(alice, request).startswith("1 of 1 fields are not available: ")
    assert archive(alice, {"expver": "demo", "param": "10v"}, message).status_code == 200
    assert retrieve(alice, request) == message


def test_data_that_are_not_what_the_request_says_are_refused_whole(
    alice: Caller, messages: dict[Any, bytes]
) -> None:
    label = fields.Label("10u", DAY, 6, None, "demo")
    good = fields.encode(label, fields.compute(DAY, 6, GRID)["10u", None], GRID)
    answer = archive(alice, {"expver": "demo", "param": "10u"}, good + messages["msl", 0, None])
    assert answer.status_code == 400
    assert failure(alice, {**SURFACE, "param": "10u", "step": 6}).startswith(
        "1 of 1 fields are not available: "
    )


def test_what_the_configuration_says_of_member_0_holds_for_archives_too(alice: Caller) -> None:
    control = encode_member(0, paramId=167, step=0, expver="demo")
    labels = {"expver": "demo", "stream": "enfo", "type": "pf", "number": 0}
    assert archive(alice, labels, control).status_code == 200
    assert retrieve(alice, {**SURFACE, **labels, "param": "2t", "step": 0}) == control


def test_data_that_could_not_be_retrieved_are_refused(alice: Caller) -> None:
    answer = archive(alice, {"expver": "demo"}, encode(expver="demo", discipline=209))
    assert answer.status_code == 400
    assert "a parameter without a number in MARS: discipline 209" in answer.text


def test_data_that_are_no_grib_are_refused(alice: Caller) -> None:
    answer = archive(alice, {"expver": "demo"}, b"no GRIB at all")
    assert (answer.status_code, "GRIB" in answer.text) == (400, True)


def test_what_is_not_ones_own_cannot_be_archived(alice: Caller) -> None:
    answer = alice.post("/requests/demo", {"verb": "archive", "request": {"expver": "0001"}})
    assert answer.status_code == 400
    assert "expver" in answer.json()["message"]
