"""Requests of many bytes, and messages about them; what is read outside of the event loop."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from polytope_server.config import load
from polytope_server.frontend import source_selection, validation
from polytope_server.frontend.background import BusyError
from polytope_server.frontend.v1 import requests as v1
from polytope_server.language import Judgement
from polytope_server.request import Status
from testbed.frontend import Frontend, frontend
from testbed.server import CONFIG

KIB = 1 << 10
RULES = {"param": ["2t", "10u"], "levtype": "sfc"}
SECTIONS: dict[str, Any] = {
    "frontend": {"max_request": "64K", "max_body": "1M"},
    "datasources": {
        "echo": {"type": "echo"},
        "even": {"type": "echo", "match": {"step": "0/to/10000/by/2"}},
        **{f"five{n}": {"type": "echo", "match": RULES} for n in range(5)},
    },
    "collections": {
        "echo": {"roles": ["default"], "datasources": ["echo"]},
        "small": {"roles": ["default"], "datasources": ["echo"], "max_request": "1K"},
        "large": {"roles": ["default"], "datasources": ["echo"], "max_request": "512K"},
        "steps": {"roles": ["default"], "datasources": ["even"], "max_request": "64K"},
        "five": {"roles": ["default"], "datasources": [f"five{n}" for n in range(5)]},
    },
}


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Frontend]:
    async with frontend(tmp_path, SECTIONS) as made:
        yield made


def body(request: Any) -> dict[str, Any]:
    return {"verb": "retrieve", "request": request}


@pytest.mark.parametrize(("collection", "limit"), [("echo", 64 * KIB), ("small", KIB), ("large", 512 * KIB)])
async def test_a_request_that_is_too_large_is_refused_with_both_numbers(
    door: Frontend, collection: str, limit: int
) -> None:
    fits = await door.call("POST", f"/requests/{collection}", body("x" * limit))
    refused = await door.call("POST", f"/requests/{collection}", body("x" * (limit - 1) + "é"))
    assert (fits.status, refused.status) == (202, 413)
    assert str(limit) in refused.message
    assert str(limit + 1) in refused.message
    assert collection in refused.message


async def test_a_trajectory_of_a_thousand_points_stays_far_below(door: Frontend) -> None:
    points = [[-45.1234567 + n / 100, 123.1234567 + n / 100] for n in range(1000)]
    request = {"class": "od", "feature": {"type": "trajectory", "points": points}}
    assert len(json.dumps(request)) < 48 * KIB
    # A data source of type echo takes no features: it was read, and not refused for its size.
    assert (await door.call("POST", "/requests/echo", body(request))).status == 400


@pytest.mark.parametrize(("size", "in_loop"), [(100, True), (20_000, False)])
async def test_a_large_body_is_read_outside_of_the_event_loop(
    door: Frontend, monkeypatch: pytest.MonkeyPatch, size: int, in_loop: bool
) -> None:
    threads: list[bool] = []

    def record(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            threads.append(threading.current_thread() is threading.main_thread())
            return function(*arguments, **named)

        return call

    for module, name in [
        (v1, "decoded"),
        *((source_selection, name) for name in ("parse", "coerce", "Judgement")),
    ]:
        monkeypatch.setattr(module, name, record(getattr(module, name)))
    assert (await door.call("POST", "/requests/echo", body("x" * size))).status == 202
    assert threads == [in_loop] * 4


@pytest.mark.parametrize(("steps", "threads"), [("0/to/900", [True]), ("0/to/99998", [True, False])])
async def test_what_takes_many_comparisons_leaves_the_event_loop(
    door: Frontend, monkeypatch: pytest.MonkeyPatch, steps: str, threads: list[bool]
) -> None:
    found: list[bool] = []

    class Recorded(Judgement):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            found.append(threading.current_thread() is threading.main_thread())
            super().__init__(*arguments, **named)

    monkeypatch.setattr(source_selection, "Judgement", Recorded)
    answer = await door.call("POST", "/requests/steps", body({"step": steps}))
    assert answer.status == 400
    assert "key 'step' : '1', '3', '5', '7', '9' and" in answer.message
    assert found == threads


async def test_a_large_body_has_the_same_error_as_a_small_one(door: Frontend) -> None:
    for text in ("a=b=c", "a=b=c" + "d" * 20_000):
        answer = await door.call("POST", "/requests/echo", body(text))
        assert answer.status == 400
        assert answer.message.endswith("is not accepted; expected key = value, key = value")


async def test_too_many_large_bodies_are_refused_with_a_time_to_try_again(
    door: Frontend, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def busy(*_: Any) -> None:
        raise BusyError

    monkeypatch.setattr(door.services.background, "run", busy)
    answer = await door.call("POST", "/requests/echo", body("x" * 20_000))
    assert (answer.status, answer.headers["retry-after"]) == (429, "1")
    answer = await door.call("POST", "/requests/echo", body("x" * 20_000), agent="python-requests/2")
    assert answer.status == 403


async def test_the_reason_of_several_data_sources_is_given_once(door: Frontend) -> None:
    answer = await door.call("POST", "/requests/five", body({"param": "2d", "levtype": "sfc"}))
    assert answer.status == 400
    assert answer.message.count("'2d'") == 1
    assert "Skipping datasource five0, five1, five2, five3, five4: key 'param'" in answer.message


@pytest.mark.parametrize(
    "request_",
    [
        {"param": ["x" * 10_000 + str(n) for n in range(5)], "levtype": "sfc"},
        {"param": {"x" * 30_000: ["y" * 30_000]}},
        {f"k{'x' * 80}{n}": {"a": 1} for n in range(500)},
        {"step": [f"{'x' * 500}{n}" for n in range(100)]},
        {"x" * 60_000: 1},
        {"a": "b" * 60_000 + "\n"},
    ],
)
async def test_a_message_is_short_whatever_it_is_about(door: Frontend, request_: Any) -> None:
    answer = await door.call("POST", "/requests/five", body(request_))
    assert answer.status == 400
    assert len(answer.message) < 8100


async def test_the_message_of_a_data_source_is_cut(door: Frontend) -> None:
    request_id = (await door.submit()).headers["location"].rpartition("/")[2]
    await door.services.store.transition(
        request_id, Status.WAITING, 0, Status.FAILED, user_message="x" * 100_000 + "end"
    )
    answer = await door.call("GET", f"/requests/{request_id}")
    assert answer.status == 400
    assert len(answer.message) < 8100
    assert answer.message.endswith("end")


@pytest.mark.parametrize(
    "url",
    ["http://h/" + "x" * 5000, "http://h/\n12:00:00 x", "http://h/ x", "http://h/\ud800", "\\" * 65_000],
)
async def test_the_url_of_an_archive_is_checked_before_it_is_looked_into(
    door: Frontend, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setattr(validation, "refusal", lambda *_: pytest.fail("the address was looked into"))
    answer = await door.call("POST", "/requests/echo", {**body("x"), "verb": "archive", "url": url})
    assert answer.status == 400
    assert answer.message.startswith("The value of 'url' is not an address of at most 4096 characters")


@pytest.mark.parametrize("name", ["x" * 5000, "a\nb", "a.b", "é", "*"])
@pytest.mark.parametrize(
    ("method", "route", "status"),
    [
        ("GET", "/requests/", 404),
        ("DELETE", "/requests/", 200),
        ("GET", "/uploads/", 410),
        ("POST", "/uploads/", 400),
        ("GET", "/downloads/", 404),
    ],
)
async def test_what_cannot_be_an_id_is_answered_like_an_unknown_one_without_a_search(
    door: Frontend, monkeypatch: pytest.MonkeyPatch, method: str, route: str, status: int, name: str
) -> None:
    unknown = await door.call(method, f"{route}0f8fad5b-d9cb-469f-a165-70867728950e")

    async def search(*_: Any, **__: Any) -> None:
        raise AssertionError("the store was asked")

    monkeypatch.setattr(door.services.store, "get", search)
    monkeypatch.setattr(door.services.store, "remove", search)
    answer = await door.call(method, f"{route}{name}")
    assert (answer.status, unknown.status) == (status, status)
    assert len(answer.message) < 200


def test_a_limit_beyond_that_of_a_body_is_warned_about(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(json.dumps({**CONFIG, **SECTIONS, "frontend": {"max_request": "1M"}}))
    warnings = [warning for warning in load([file]).warnings if "max_request" in warning]
    assert len(warnings) == 2  # `echo` and `five`; the others have limits of their own
    assert "1048576 bytes" in warnings[0]
    assert "524288" in warnings[0]
