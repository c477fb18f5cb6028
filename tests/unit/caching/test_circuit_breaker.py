import asyncio

import pytest

from polytope_server.caching.circuit_breaker import CircuitBreaker


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Server:
    """Answers how often it was asked, while it is up."""

    def __init__(self) -> None:
        self.asked = 0
        self.error: Exception | None = None

    async def answer(self) -> int:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return self.asked


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def breaker(clock: Clock) -> CircuitBreaker:
    return CircuitBreaker("the cache of tests", clock=clock)


async def test_a_server_that_answers_is_asked_each_time(breaker: CircuitBreaker, server: Server) -> None:
    assert [await breaker.ask(server.answer) for _ in range(3)] == [1, 2, 3]


async def test_a_server_that_failed_is_not_asked_for_a_second(
    breaker: CircuitBreaker, server: Server, clock: Clock
) -> None:
    server.error = OSError("down")
    for moment in (0.0, 0.5, 0.99):
        clock.now = moment
        assert await breaker.ask(server.answer) is None
    assert server.asked == 1
    server.error, clock.now = None, 1.0
    assert await breaker.ask(server.answer) == 2
    assert await breaker.ask(server.answer) == 3


async def test_one_caller_tries_and_the_others_do_not_wait(
    breaker: CircuitBreaker, server: Server, clock: Clock
) -> None:
    server.error = OSError("down")
    await breaker.ask(server.answer)
    server.error, clock.now = None, 1.0
    release = asyncio.Event()

    async def slow() -> str:
        await release.wait()
        return "slow"

    trying = asyncio.ensure_future(breaker.ask(slow))
    await asyncio.sleep(0)
    assert await breaker.ask(server.answer) is None
    release.set()
    assert await trying == "slow"
    assert await breaker.ask(server.answer) == 2


async def test_a_server_that_takes_too_long_has_failed(breaker: CircuitBreaker, server: Server) -> None:
    async with asyncio.timeout(5):
        assert await breaker.ask(asyncio.Event().wait) is None
    assert await breaker.ask(server.answer) is None
    assert server.asked == 0


async def test_an_outage_is_told_once(
    breaker: CircuitBreaker, server: Server, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    server.error = ConnectionRefusedError("refused")
    for clock.now in (0.0, 0.5, 1.5, 3.0):
        await breaker.ask(server.answer)
    server.error, clock.now = None, 5.0
    for _ in range(2):
        await breaker.ask(server.answer)
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("WARNING", "the cache of tests cannot be used, so nothing is cached or limited: refused"),
        ("INFO", "the cache of tests can be used again"),
    ]


@pytest.mark.parametrize(
    ("error", "reason"), [(TimeoutError(), "no answer in 0.25 s"), (EOFError(), "EOFError")]
)
async def test_an_error_without_words_is_logged(
    breaker: CircuitBreaker, server: Server, error: Exception, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    server.error = error
    await breaker.ask(server.answer)
    assert caplog.messages == [
        f"the cache of tests cannot be used, so nothing is cached or limited: {reason}"
    ]


async def test_a_caller_who_goes_away_is_no_failure(breaker: CircuitBreaker, server: Server) -> None:
    asking = asyncio.ensure_future(breaker.ask(asyncio.Event().wait))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert await breaker.ask(server.answer) == 1
