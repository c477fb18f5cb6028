import asyncio
import logging
import statistics
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
from pydantic import ValidationError

from polytope_server.notices import Notice, Notices, Topic
from polytope_server.notices import postgresql as module
from polytope_server.notices.postgresql import PostgreSQLNotices, PostgreSQLNoticesSettings
from polytope_server.runtime.unavailable import UnavailableError
from polytope_server.testing.notices import Connect, NoticesContract
from polytope_server.testing.waiting import until
from testbed.services import PostgreSQL


def build(service: PostgreSQL) -> PostgreSQLNotices:
    return PostgreSQLNotices(PostgreSQLNoticesSettings(url=service.url), Path("unused"))


@pytest.fixture
def own(tmp_path: Path, postgresql: PostgreSQL) -> Iterator[PostgreSQL]:
    with PostgreSQL(tmp_path) as service:
        yield service


@pytest.fixture
async def notices(postgresql: PostgreSQL) -> AsyncIterator[Notices]:
    notices = build(postgresql)
    await notices.open()
    yield notices
    await notices.close()


async def arrives(notices: Notices, received: list[Notice], seconds: float) -> None:
    """Publish until something is received."""
    received.clear()
    async with asyncio.timeout(seconds):
        while not received:
            notices.publish(Topic.ENDED, "again")
            await asyncio.sleep(0.02)


class TestPostgreSQLNotices(NoticesContract):
    @pytest.fixture
    def connect(self, postgresql: PostgreSQL) -> Connect:
        return lambda: build(postgresql)

    async def test_a_notice_takes_milliseconds(self, notices: Notices) -> None:
        received: list[Notice] = []
        await notices.subscribe({Topic.ENDED}, received.append)
        times = []
        for number in range(100):
            began = time.perf_counter()
            notices.publish(Topic.ENDED, str(number))
            async with asyncio.timeout(5):
                while len(received) <= number:  # noqa: ASYNC110 -- as often as the loop turns
                    await asyncio.sleep(0)
            times.append(time.perf_counter() - began)
        print(f"median {statistics.median(times) * 1e3:.2f} ms, longest {max(times) * 1e3:.2f} ms")
        assert statistics.median(times) < 0.02

    async def test_any_text_is_an_id(self, notices: Notices) -> None:
        received: list[str] = []
        await notices.subscribe({Topic.ENDED}, lambda notice: received.append(notice.request_id))
        texts = ["", "a\nb", "a\x00b", "é", "\ud800", '"]', "x" * 7000]
        notices.publish(Topic.ENDED, "x" * 8000, *texts, "x" * 100_000)
        notices.publish(Topic.ENDED, "last")
        await until(lambda: "last" in received)
        assert received == [*texts, "last"]

    async def test_a_process_may_subscribe_several_times(self, notices: Notices) -> None:
        ended: list[Notice] = []
        both: list[Notice] = []
        await notices.subscribe({Topic.ENDED}, ended.append)
        await notices.subscribe({Topic.ENDED, Topic.CLAIMED}, both.append)
        notices.publish(Topic.CLAIMED, "a")
        notices.publish(Topic.ENDED, "b")
        await until(lambda: len(both) == 2 and ended)
        assert ended == [Notice(Topic.ENDED, "b")]

    async def test_what_is_no_notice_and_a_receiver_that_fails_disturb_nothing(
        self, notices: Notices, postgresql: PostgreSQL, caplog: pytest.LogCaptureFixture
    ) -> None:
        received: list[str] = []

        def receive(notice: Notice) -> None:
            received.append(notice.request_id)
            if len(received) == 1:
                raise ValueError("a fault of the receiver")

        await notices.subscribe({Topic.ENDED}, receive)
        with psycopg.connect(postgresql.url, autocommit=True) as connection:
            for payload in ("", "5", "{", '{"a": 1}'):
                connection.execute("SELECT pg_notify('polytope_ended', %s)", [payload])
        notices.publish(Topic.ENDED, "a", "b")
        await until(lambda: received == ["a", "b"])
        assert "a fault of the receiver" in caplog.text

    async def test_a_silent_subscription_stays(
        self, notices: Notices, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(module, "_SILENCE", 0.0005)
        received: list[str] = []
        await notices.subscribe({Topic.ENDED}, lambda notice: received.append(notice.request_id))
        for number in range(300):
            notices.publish(Topic.ENDED, str(number))
            await until(lambda number=number: len(received) > number)  # type: ignore[misc]
        assert received == [str(number) for number in range(300)]
        assert caplog.records == []

    async def test_an_outage_is_told_once_and_ends_by_itself(
        self, own: PostgreSQL, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "polytope_server")
        notices = build(own)
        await notices.open()
        received: list[Notice] = []
        await notices.subscribe({Topic.ENDED}, received.append)
        await arrives(notices, received, 2)
        own.kill()
        for number in range(50_000):
            notices.publish(Topic.ENDED, str(number))
        await until(lambda: len(caplog.records) == 2)
        own.start()
        await arrives(notices, received, 3)
        await notices.close()
        assert [record.levelname for record in caplog.records] == ["WARNING"] * 2 + ["INFO"] * 2
        assert f"PostgreSQL at 127.0.0.1:{own.port}/polytope" in caplog.text
        assert own.password not in caplog.text

    async def test_a_server_that_does_not_answer_is_left_in_time(
        self, own: PostgreSQL, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(module, "_PATIENCE", 0.3)
        monkeypatch.setattr(module, "_SILENCE", 0.1)
        notices = build(own)
        await notices.open()
        received: list[Notice] = []
        await notices.subscribe({Topic.ENDED}, received.append)
        server = psutil.Process(own.process.pid)
        frozen = [server, *server.children(recursive=True)]
        for process in frozen:
            process.suspend()
        try:
            notices.publish(Topic.ENDED, "a")
            await until(lambda: len(caplog.records) == 2, 5)
        finally:
            for process in frozen:
                process.resume()
        await arrives(notices, received, 5)
        await notices.close()

    async def test_a_server_that_is_down_is_said_to_be_so(
        self, own: PostgreSQL, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "_PATIENCE", 0.2)
        notices = build(own)
        await notices.open()
        received: list[Notice] = []
        own.kill()
        fresh = build(own)
        for _ in range(2):
            with pytest.raises(UnavailableError, match="refused"):
                await fresh.open()
        await notices.subscribe({Topic.ENDED}, received.append)
        notices.publish(Topic.ENDED, "a")
        own.start()
        await fresh.open()
        await arrives(fresh, received, 3)
        await fresh.close()
        own.kill()
        notices.publish(Topic.ENDED, "a")
        began = time.monotonic()
        await notices.close()
        assert time.monotonic() - began < 2


@pytest.mark.parametrize("url", ["sqlite:///x", "postgresql://u:sesame@h:x/d"])
def test_another_address_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="no address of a PostgreSQL database") as caught:
        PostgreSQLNoticesSettings(url=url)
    assert "sesame" not in str(caught.value)
