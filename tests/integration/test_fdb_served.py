"""The whole path of requests for an FDB whose instructions matter: from the REST API and back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asking import Door, collection
from caller import Caller
from fdb_fields import LABEL, message
from schema_repository import Repository

from polytope_demonstration import fdb as demo
from testbed.server import StandaloneServer

pytestmark = pytest.mark.unmeasured

WANTED = {**LABEL, "levtype": "sfc", "param": "2t"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandaloneServer]:
    """A server with one FDB that holds two fields, and whose schema is in a git repository."""
    folder = tmp_path_factory.mktemp("served")
    repository = Repository(folder)
    commit = repository.commit(schema=Path(demo.__file__).with_name("schema").read_text())
    schema = {"git": {"remote": str(repository.path), "revision": commit, "path": "schema"}}
    config = {**demo.configuration(folder), "schema": schema}
    sections = collection("fdb", type="fdb", fdb_config=config, ignore=["rotation"])
    with StandaloneServer(folder / "data", sections) as made:
        Door(made, "fdb").archive({**LABEL, "target": "x"}, message("2t", 0) + message("2t", 6))
        yield made


@pytest.fixture
def alice(server: StandaloneServer, caller_of: type[Caller]) -> Caller:
    return caller_of(server)


def retrieve(caller: Caller, **request: Any) -> tuple[bytes, str]:
    """The data of a request, and the last message about it."""
    answer = caller.end_of(caller.submit("fdb", {**WANTED, **request}))
    assert answer.status_code == 303, answer.text
    data = caller.get(answer.headers["Location"].removeprefix(".."))
    assert data.status_code == 200
    assert data.headers["Content-Length"] == str(len(data.content))
    return data.content, answer.json().get("message", "")


def test_what_would_change_the_data_is_refused_when_it_is_submitted(alice: Caller) -> None:
    request = {**WANTED, "step": 0, "grid": "1/1", "area": "60/-10/30/40"}
    answer = alice.post("/requests/fdb", {"verb": "retrieve", "request": request})
    assert answer.status_code == 400
    assert "key 'grid': '1/1' is not accepted" in answer.json()["message"]
    assert "key 'area': '60/-10/30/40' is not accepted" in answer.json()["message"]


def test_the_schema_of_the_repository_is_known_to_the_frontend(
    alice: Caller, server: StandaloneServer
) -> None:
    answer = alice.post("/requests/fdb", {"verb": "retrieve", "request": WANTED})
    assert (answer.status_code, "must also name: step" in answer.json()["message"]) == (400, True)
    assert len(list((server.data / "fdb-schemas").glob("*.schema"))) == 1


def test_what_has_no_effect_is_read_with_the_result(alice: Caller) -> None:
    data, said = retrieve(alice, step="0/6", target="a.grib", rotation="-20/30")
    assert data == message("2t", 0) + message("2t", 6)
    assert said.splitlines() == [
        "Success",
        "Ignored, fields are served as they are stored: rotation=-20/30.",
        "Without effect, as it is so anyway: target=a.grib.",
    ]


def test_some_of_the_fields_or_none_come_where_any_are_expected(alice: Caller) -> None:
    data, said = retrieve(alice, step="6/99", expect="any")
    assert data == message("2t", 6)
    assert "expect=any: 1 of 2 fields are available; not available: step=99." in said
    data, said = retrieve(alice, step="98/99", expect="any")
    assert data == b""
    assert "expect=any: 0 of 2 fields are available; not available: step=98/99." in said
