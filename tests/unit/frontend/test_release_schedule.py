"""Requests wait for the release of their data, whatever kind of data source serves them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from polytope_server.collection import DataSourceConfig
from polytope_server.datasource.fdb.keys import ALIASES
from polytope_server.datasource.polytope.check import implied_keys
from polytope_server.frontend.refusals import RefusedError
from polytope_server.frontend.source_selection import Source, SourceSelection
from polytope_server.language import MAX_VALUES, CoercionRules, SourceRules
from polytope_server.request import Verb
from polytope_server.schedule.file import ScheduleFile
from polytope_server.user import User
from testbed.frontend import Frontend, frontend

#: Products of midnight: step 0 a minute after it, of that day; step 240 a hundred days later.
PRODUCTS = "<s>{}</s>".format(
    "".join(
        f"<product><class>od</class><stream>oper</stream><time>00:00</time><type>fc</type><step>{step}</step>"
        f"<release_time>00:01:00</release_time><release_delta_day>{days}</release_delta_day></product>"
        for step, days in ((0, 0), (240, 100))
    )
)
YESTERDAY = f"{datetime.now(UTC) - timedelta(days=1):%Y%m%d}"
FORECAST = {"class": "od", "stream": "oper", "type": "fc", "date": YESTERDAY, "time": "00", "step": "0/to/9"}
LATE = {**FORECAST, "step": "0/to/240/by/6"}


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Frontend]:
    (tmp_path / "schedule.xml").write_text(PRODUCTS)
    public = {"type": "echo", "obey_schedule": True, "repr": "the public archive"}
    sections = {
        "schedule": {"file": str(tmp_path / "schedule.xml")},
        "datasources": {
            "public": public,
            "internal": {"type": "echo", "roles": {"test": ["staff"]}},
            "spare": {"type": "echo", "match": {"class": "rd"}},
            "all": {"type": "echo"},
        },
        "collections": {
            "public": {"roles": ["default"], "datasources": ["public", "internal", "spare"]},
            "both": {"roles": ["default"], "datasources": ["public", "all"]},
        },
    }
    async with frontend(tmp_path, sections) as made:
        yield made


async def test_what_is_not_released_is_refused_with_the_moment_of_its_release(door: Frontend) -> None:
    assert (await door.submit("public", FORECAST)).status == 202
    answer = await door.submit("public", LATE)
    assert answer.status == 400
    line = next(line for line in answer.message.splitlines() if "the public archive" in line)
    due = datetime.strptime(YESTERDAY, "%Y%m%d") + timedelta(days=100, minutes=1)
    assert line.endswith(f"{YESTERDAY} at step 240 is not released before {due:%Y-%m-%d %H:%M:%S} UTC")


async def test_another_data_source_may_serve_what_one_holds_back(door: Frontend) -> None:
    assert (await door.submit("both", LATE)).status == 202
    assert (await door.submit("public", {**LATE, "class": "rd"})).status == 202


async def test_uploads_are_not_held_back(door: Frontend) -> None:
    answer = await door.call("POST", "/requests/public", {"verb": "archive", "request": LATE})
    assert answer.status == 202


async def test_a_schedule_that_changes_holds_for_the_next_request(
    door: Frontend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("polytope_server.schedule.file._INTERVAL", 0)
    assert (await door.submit("public", LATE)).status == 400
    (tmp_path / "schedule.xml").write_text(PRODUCTS.replace(">100<", ">0<"))
    assert (await door.submit("public", LATE)).status == 202
    (tmp_path / "schedule.xml").write_text("<broken")
    assert (await door.submit("public", LATE)).status == 202
    (tmp_path / "schedule.xml").write_text(PRODUCTS)
    assert (await door.submit("public", LATE)).status == 400


POINTS = [[38.9, -9.1]]
SERIES = {"type": "timeseries", "points": POINTS, "time_axis": "step"}
DAYS = {"type": "timeseries", "points": POINTS, "time_axis": "date"}
PATH = {"type": "trajectory", "axes": ["lat", "lon", "step"], "inflation": 0}
WITHOUT_STEP = {key: value for key, value in FORECAST.items() if key != "step"}
WITHOUT_DATE = {key: value for key, value in FORECAST.items() if key != "date"}
TOMORROW = f"{datetime.now(UTC) + timedelta(days=1):%Y%m%d}"


@pytest.mark.parametrize(
    ("request_", "released"),
    [
        ({**FORECAST, "feature": SERIES}, True),
        ({**LATE, "feature": SERIES}, False),
        ({**WITHOUT_STEP, "feature": {**SERIES, "range": {"start": 0, "end": 239}}}, True),
        ({**WITHOUT_STEP, "feature": {**SERIES, "range": {"start": 0, "end": 240}}}, False),
        ({**WITHOUT_STEP, "feature": {**SERIES, "range": {"start": 0, "end": 243, "interval": 6}}}, False),
        ({**WITHOUT_STEP, "feature": {**SERIES, "range": {"start": 0, "end": 242, "interval": 9}}}, True),
        ({**WITHOUT_STEP, "feature": {**SERIES, "range": [0, "10d"]}}, False),
        ({**WITHOUT_STEP, "feature": {**SERIES, "range": ["0-24", "24-240"]}}, False),
        ({**WITHOUT_DATE, "feature": {**DAYS, "range": [YESTERDAY]}}, True),
        ({**WITHOUT_DATE, "feature": {**DAYS, "range": {"start": YESTERDAY, "end": TOMORROW}}}, False),
        ({**WITHOUT_STEP, "feature": {**PATH, "points": [[0, 0, 239], [1, 1, 0]]}}, True),
        ({**WITHOUT_STEP, "feature": {**PATH, "points": [[0, 0, 0], [1, 1, 240], [1, 1, 0]]}}, False),
        ({**WITHOUT_STEP, "feature": {**PATH, "points": [[0, 0, 0], [1, 1, 239]], "inflation": 1}}, False),
        ({**WITHOUT_STEP, "feature": {"type": "position", "points": POINTS}}, False),
    ],
)
def test_steps_and_dates_of_a_feature_are_held_back_as_those_of_a_request(
    tmp_path: Path, request_: Mapping[str, Any], released: bool
) -> None:
    path = tmp_path / "schedule.xml"
    path.write_text(PRODUCTS)
    rules = SourceRules(accepts_feature=True, implied=implied_keys, aliases=ALIASES)
    config = DataSourceConfig("features", "polytope", {})
    selection = SourceSelection({}, CoercionRules())
    source = Source(config, rules, False, schedule=ScheduleFile(path))
    text, user = json.dumps(request_), User("alice", "test")
    held = nullcontext() if released else pytest.raises(RefusedError, match="is not released before")
    with held:
        selection.select([source], user, text, Verb.RETRIEVE, MAX_VALUES)
