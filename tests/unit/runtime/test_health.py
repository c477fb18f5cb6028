"""How a process finds out whether its back-ends answer."""

from __future__ import annotations

import asyncio
import logging

import pytest

from polytope_server.request_store import StoreUnavailableError
from polytope_server.runtime.management import health
from polytope_server.runtime.management.health import Check, Health


class Backend:
    """A back-end that counts its questions, and answers as the test says."""

    def __init__(self) -> None:
        self.asked = 0
        self.error: Exception | None = None
        self.answering = asyncio.Event()
        self.answering.set()

    async def check(self) -> None:
        self.asked += 1
        await self.answering.wait()
        if self.error is not None:
            raise self.error


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Back-ends have no time."""
    monkeypatch.setattr(health, "ANSWER_TIME", 0.01)


async def test_what_a_back_end_says_is_told_and_kept_for_a_while() -> None:
    now = 0.0
    store = Backend()
    seen = Health({"request_store": Check(store.check)}, clock=lambda: now)
    assert await seen.states() == {"request_store": (True, "")}
    store.error = StoreUnavailableError("the store is down")
    now = health.KEPT_TIME / 2
    assert await seen.states() == {"request_store": (True, "")}
    assert store.asked == 1
    now = health.KEPT_TIME
    assert await seen.states() == {"request_store": (True, "the store is down")}


async def test_a_flood_of_questions_reaches_a_back_end_once() -> None:
    store = Backend()
    store.answering.clear()
    seen = Health({"request_store": Check(store.check)})
    flood = [asyncio.create_task(seen.states()) for _ in range(100)]
    await asyncio.sleep(0)
    store.answering.set()
    assert {states["request_store"].why for states in await asyncio.gather(*flood)} == {""}
    assert store.asked == 1


async def test_a_caller_that_goes_away_takes_the_answer_from_no_other() -> None:
    store = Backend()
    store.answering.clear()
    seen = Health({"request_store": Check(store.check)})
    impatient, patient = (asyncio.create_task(seen.states()) for _ in range(2))
    await asyncio.sleep(0)
    impatient.cancel()
    store.answering.set()
    assert (await patient)["request_store"].why == ""


async def test_back_ends_are_asked_at_the_same_time() -> None:
    met = asyncio.Barrier(2)
    seen = Health({role: Check(met.wait) for role in ("request_store", "staging")})
    assert [why for _, why in (await seen.states()).values()] == ["", ""]


@pytest.mark.usefixtures("quick")
async def test_one_that_is_silent_is_told_in_time_and_not_asked_by_ever_more() -> None:
    now = 0.0
    stubborn = asyncio.Event()
    asked = 0

    async def ask() -> None:
        nonlocal asked
        asked += 1
        while not stubborn.is_set():
            try:
                await stubborn.wait()
            except asyncio.CancelledError:
                continue  # as drivers do

    seen = Health({"request_store": Check(ask)}, clock=lambda: now)
    for _ in range(3):
        assert "no answer in" in (await seen.states())["request_store"].why
        now += health.KEPT_TIME
    assert asked == 1
    stubborn.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert (await seen.states())["request_store"].why == ""


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (StoreUnavailableError("cannot reach mongodb://me:secret@host\nand more"), "mongodb://***@host"),
        (StoreUnavailableError(), "StoreUnavailableError"),
        (ConnectionError("redis://me:secret@host"), "ConnectionError"),
    ],
)
async def test_reasons_are_short_and_hold_no_secret(error: Exception, why: str) -> None:
    store = Backend()
    store.error = error
    seen = Health({"request_store": Check(store.check)})
    seen.started = True
    shown = (await seen.states())["request_store"].why
    assert shown.endswith(why)
    assert "secret" not in shown
    assert "\n" not in shown


async def test_before_the_start_a_back_end_is_not_connected() -> None:
    store = Backend()
    store.error = AttributeError("_client")
    assert (await Health({"request_store": Check(store.check)}).states())["request_store"].why == (
        "not connected yet"
    )


async def test_the_log_tells_of_changes_only(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    store, cache = Backend(), Backend()
    checks = {"request_store": Check(store.check), "caching": Check(cache.check, needed=False)}
    seen = Health(checks, clock=lambda: now)
    seen.started = True
    cache.error = ConnectionError()
    with caplog.at_level(logging.INFO):
        for error in (None, *[StoreUnavailableError("down")] * 3, None, None):
            store.error = error
            await seen.states()
            now += health.KEPT_TIME
    assert [record.message for record in caplog.records] == [
        "not ready: request_store: down",
        "ready again",
    ]
