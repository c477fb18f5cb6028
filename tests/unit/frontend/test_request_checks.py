"""What a data source finds wrong with a request is the answer to its submission."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from polytope_server.frontend.v1.requests import draft_of
from testbed.frontend import Frontend, frontend

SCHEMA = "[ class, expver, stream, date, time [ type, levtype [ step, levelist?, param ]]]"
GOOD = {
    "class": "od",
    "expver": "0001",
    "stream": "oper",
    "date": "20260101",
    "time": "0000",
    "type": "fc",
    "levtype": "sfc",
    "param": "2t",
    "step": 0,
}


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Frontend]:
    (tmp_path / "schema").write_text(SCHEMA)
    fdb = {"type": "fdb", "fdb_config": {"type": "local", "schema": str(tmp_path / "schema")}}
    sections = {
        "datasources": {
            "echo": {"type": "echo", "match": {"class": "rd"}},
            "fdb": {**fdb, "match": {"class": "od", "levellist": [500, 850]}, "defaults": {"level": 500}},
            "open": fdb,
        },
        "collections": {
            "mixed": {"roles": ["default"], "datasources": ["echo", "fdb"]},
            "open": {"roles": ["default"], "datasources": ["open"]},
            "texts": {"roles": ["default"], "datasources": [{"name": "text", "type": "echo"}]},
        },
    }
    async with frontend(tmp_path, sections) as made:
        yield made


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"param": "2tt"}, "key 'param': '2tt' is no parameter that the FDB knows; did you mean '2t'?"),
        ({"parm": "2t"}, "key 'parm' is not one of the FDB's; did you mean 'param'?"),
        ({"levtype": None}, "the request must also name: levtype"),
        ({"param": 130.2}, "(number 130 of table 2); did you mean '130.200'?"),
    ],
)
async def test_a_request_that_could_only_fail_is_refused(
    door: Frontend, change: dict[str, Any], sentence: str
) -> None:
    request = {key: value for key, value in {**GOOD, **change}.items() if value is not None}
    answer = await door.submit("open", request)
    assert (answer.status, answer.message.splitlines()[0][-len(sentence) :]) == (400, sentence)
    assert (await door.call("GET", "/requests")).body["message"] == []


@pytest.mark.parametrize("request_", [{}, [], [GOOD], None, "", "ret,class=od", 5])
async def test_what_is_no_request_is_refused_with_what_one_is(door: Frontend, request_: Any) -> None:
    for collection in ("open", "mixed"):
        answer = await door.submit(collection, request_)
        assert answer.status == 400
        if collection == "open" or request_ != {}:
            assert "expected keys with values, such as {" in answer.message


async def test_a_mapping_as_a_value_goes_to_a_source_that_takes_it(door: Frontend) -> None:
    request = {**GOOD, "where": {"station": ["X", {"height": 2}]}}
    assert (await door.submit("texts", request)).status == 202
    refused = await door.submit("open", request)
    assert (refused.status, "key 'where': {'station':" in refused.message) == (400, True)


async def test_a_text_is_a_request_to_a_source_that_takes_texts(door: Frontend) -> None:
    assert (await door.submit("texts", "ret,class=od")).status == 202


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({}, 202),
        ({"levellist": 850}, 202),
        ({"level": 1000}, 400),
        ({"levelist": 500, "level": 850}, 400),
        ({"class": "rd", "level": 1000}, 202),
    ],
)
async def test_a_rule_holds_for_every_name_of_its_key(
    door: Frontend, change: dict[str, Any], status: int
) -> None:
    assert (await door.submit("mixed", {**GOOD, "levtype": "pl", "param": "t", **change})).status == status


def test_a_parameter_keeps_the_table_that_its_number_names() -> None:
    draft = draft_of(b'{"verb": "retrieve", "request": {"param": [130.200, 167], "grid": [0.10]}}')
    assert draft.request == {"param": ["130.200", 167], "grid": [0.1]}
