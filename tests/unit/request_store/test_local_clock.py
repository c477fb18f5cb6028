"""The store's time, as a process estimates it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from polytope_server.request_store import StoreUnavailableError
from polytope_server.request_store.clock import LocalClock
from polytope_server.request_store.memory import MemoryRequestStore, MemoryRequestStoreSettings
from polytope_server.runtime.process import opened


class Clocks:
    """Three clocks for which the same time passes; an answer of the store takes `trip` seconds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.store, self.machine, self.monotonic, self.trip = 5000.0, 5000.0, 7.0, 0.0
        fake = SimpleNamespace(monotonic=lambda: self.monotonic, time=lambda: self.machine)
        monkeypatch.setattr("polytope_server.request_store.clock.time", fake)
        self.local = LocalClock(self.read)

    def advance(self, seconds: float) -> None:
        self.store += seconds
        self.machine += seconds
        self.monotonic += seconds

    async def read(self) -> float:
        self.advance(self.trip / 2)
        answered = self.store
        self.advance(self.trip / 2)
        return answered


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    return Clocks(monkeypatch)


async def test_before_it_was_measured_it_is_that_of_the_machine(clocks: Clocks) -> None:
    clocks.machine += 20
    assert clocks.local.now() == clocks.machine


async def test_it_is_that_of_the_store_with_half_of_the_round_trip(clocks: Clocks) -> None:
    clocks.machine += 20
    clocks.trip = 3.0
    await clocks.local.measure()
    assert clocks.local.now() == pytest.approx(clocks.store)
    clocks.advance(100)
    clocks.machine -= 1000  # an operator has set it
    assert clocks.local.now() == pytest.approx(clocks.store)


async def test_a_slow_answer_does_not_spoil_the_estimate(clocks: Clocks) -> None:
    await clocks.local.measure()
    clocks.trip = 6.0
    clocks.store += 1  # within what the answer leaves open
    await clocks.local.measure()
    assert clocks.local.now() == pytest.approx(clocks.store - 1)


async def test_a_jump_is_told_once(clocks: Clocks) -> None:
    jumps: list[float] = []
    clocks.local.observe_jumps(jumps.append)
    await clocks.local.measure()
    clocks.store += 30
    for _ in range(2):
        await clocks.local.measure()
    assert jumps == [pytest.approx(30)]
    assert clocks.local.now() == pytest.approx(clocks.store)


@pytest.mark.parametrize(
    ("seconds", "text"), [(20, "20.0 s ahead of that"), (-20, "20.0 s behind that"), (0.5, "")]
)
async def test_a_process_says_at_the_start_by_how_much_its_clock_differs(
    clocks: Clocks, caplog: pytest.LogCaptureFixture, seconds: float, text: str
) -> None:

    clocks.machine += seconds
    store = MemoryRequestStore(MemoryRequestStoreSettings(), None, clock=lambda: clocks.store)  # type: ignore[arg-type]
    async with opened([store], asyncio.Event()) as ready:
        assert ready
    assert text in caplog.text
    assert bool(text) == ("of the request store: synchronise" in caplog.text)


async def test_a_store_that_cannot_tell_the_time_stops_nothing(
    clocks: Clocks, monkeypatch: pytest.MonkeyPatch
) -> None:

    async def fail() -> float:
        raise StoreUnavailableError("away")

    store = MemoryRequestStore(MemoryRequestStoreSettings(), None)  # type: ignore[arg-type]
    monkeypatch.setattr(store, "clock", fail)
    async with opened([store], asyncio.Event()) as ready:
        assert ready
        assert store.local_clock.now() == clocks.machine
