import gc
import logging
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from polytope_server.drivers.mongodb import MongoDBUnavailableError
from polytope_server.notices import Notice, Topic
from polytope_server.notices.mongodb import MongoDBNotices, MongoDBNoticesSettings
from polytope_server.testing.notices import Connect, NoticesContract
from polytope_server.testing.waiting import until
from testbed.services import MongoDB

logger = logging.getLogger(__name__)


def build(service: MongoDB, collection: str = "notices") -> MongoDBNotices:
    return MongoDBNotices(MongoDBNoticesSettings(uri=service.uri, collection=collection), Path())


@pytest.fixture
async def notices(mongodb: MongoDB) -> AsyncIterator[MongoDBNotices]:
    notices = build(mongodb, f"notices-{uuid4().hex[:8]}")
    await notices.open()
    yield notices
    await notices.close()


class TestMongoDBNotices(NoticesContract):
    @pytest.fixture
    def connect(self, mongodb: MongoDB) -> Connect:
        collection = f"notices-{uuid4().hex[:8]}"
        return lambda: build(mongodb, collection)

    async def test_a_process_may_subscribe_several_times(self, notices: MongoDBNotices) -> None:
        ended: list[Notice] = []
        both: list[Notice] = []
        await notices.subscribe({Topic.ENDED}, ended.append)
        await notices.subscribe({Topic.ENDED, Topic.CLAIMED}, both.append)
        notices.publish(Topic.CLAIMED, "a")
        notices.publish(Topic.ENDED, "b")
        await until(lambda: len(both) == 2)
        assert ended == [Notice(Topic.ENDED, "b")]

    async def test_a_receiver_that_fails_disturbs_no_other(
        self, notices: MongoDBNotices, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(notice: Notice) -> None:
            raise ValueError("a fault of the receiver")

        received: list[Notice] = []
        await notices.subscribe({Topic.ENDED}, fail)
        await notices.subscribe({Topic.ENDED}, received.append)
        notices.publish(Topic.ENDED, "a", "b")
        await until(lambda: len(received) == 2)
        assert "a fault of the receiver" in caplog.text

    async def test_a_topic_of_a_later_version_disturbs_no_other(
        self, notices: MongoDBNotices, mongodb: MongoDB
    ) -> None:
        received: list[Notice] = []
        await notices.subscribe({Topic.ENDED}, received.append)
        with mongodb.client() as client:
            collection = client["notices"]["notices"]
            collection.insert_one({"topic": "paused", "ids": ["a"], "more": 1})
        notices.publish(Topic.ENDED, "b")
        await until(lambda: received == [Notice(Topic.ENDED, "b")])

    async def test_a_notice_takes_milliseconds(self, notices: MongoDBNotices) -> None:
        received: list[Notice] = []
        times: list[float] = []
        await notices.subscribe({Topic.ENDED}, received.append)
        for number in range(30):
            began = time.perf_counter()
            notices.publish(Topic.ENDED, str(number))
            await until(lambda number=number: len(received) > number)  # type: ignore[misc]
            times.append(time.perf_counter() - began)
        logger.info("median of a notice: %.1f ms", sorted(times)[15] * 1000)
        # The server writes its journal every 100 ms of its own accord: that is not waited for.
        assert sorted(times)[15] < 0.04

    async def test_the_server_removes_what_was_published(self, mongodb: MongoDB) -> None:
        name = f"notices-{uuid4().hex[:8]}"
        notices = build(mongodb, name)
        await notices.open()
        await notices.close()
        with mongodb.client() as client:
            indexes = client["notices"][name].index_information()
        assert [
            index["expireAfterSeconds"] for index in indexes.values() if "expireAfterSeconds" in index
        ] == [60]

    async def test_what_waits_for_the_server_is_bounded(self, notices: MongoDBNotices) -> None:
        received: list[Notice] = []
        await notices.subscribe({Topic.ENDED}, received.append)
        for start in range(0, 30_000, 7000):
            notices.publish(Topic.ENDED, *(str(start + number) for number in range(7000)))
        await until(lambda: len(received) == 20_000)
        notices.publish(Topic.ENDED, "later")
        await until(lambda: received[-1].request_id == "later")
        assert len(received) == 20_001

    async def test_subscribing_needs_an_open_connection(self, mongodb: MongoDB) -> None:
        notices = build(mongodb)
        with pytest.raises(MongoDBUnavailableError, match="not open"):
            await notices.subscribe({Topic.ENDED}, lambda notice: None)
        await notices.close()


async def test_a_server_without_a_replica_set_is_told_apart(tmp_path: Path) -> None:
    with MongoDB(tmp_path, members=0) as service:
        notices = build(service)
        with pytest.raises(
            MongoDBUnavailableError, match=r"does not belong to a replica set.*--replSet"
        ) as caught:
            await notices.open()
        assert "rabbitmq, postgresql or local" in str(caught.value)
        await notices.close()


# A connection that the driver gives up while it is made is closed by the garbage collection only.
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
class TestFaults:
    @pytest.fixture(autouse=True)
    def collected(self) -> Iterator[None]:
        yield
        gc.collect()

    async def test_it_opens_when_the_server_is_there(self, tmp_path: Path) -> None:
        service = MongoDB(tmp_path)
        notices = build(service)
        with pytest.raises(MongoDBUnavailableError, match=str(service.port)):
            await notices.open()
        notices.publish(Topic.ENDED, "a")
        with service:
            await notices.open()
            await notices.close()

    async def test_notices_come_again_after_an_outage(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "polytope_server")
        with MongoDB(tmp_path) as service:
            publisher, subscriber = build(service), build(service)
            received: list[Notice] = []
            for notices in (publisher, subscriber):
                await notices.open()
            await subscriber.subscribe({Topic.ENDED}, received.append)
            publisher.publish(Topic.ENDED, "before")
            await until(lambda: received)
            service.kill()
            began = time.monotonic()
            publisher.publish(Topic.ENDED, "during")
            assert time.monotonic() - began < 0.1
            await until(lambda: "no notices come in" in caplog.text and "notices are lost" in caplog.text)
            # Another process may start while the server is down.
            late: list[Notice] = []
            began = time.monotonic()
            await subscriber.subscribe({Topic.ENDED}, late.append)
            assert time.monotonic() - began < 5
            service.start()
            began = time.monotonic()

            def again() -> bool:
                publisher.publish(Topic.ENDED, "after")
                return bool(late) and len(received) > 1

            await until(again, 10)
            logger.info("notices come again after %.2f s", time.monotonic() - began)
            assert time.monotonic() - began < 5
            for notices in (publisher, subscriber):
                await notices.close()
        levels = [record.levelname for record in caplog.records if record.name.endswith("notices.mongodb")]
        assert levels.count("WARNING") <= 4

    async def test_closing_does_not_wait_for_a_server_that_is_down(self, tmp_path: Path) -> None:
        with MongoDB(tmp_path) as service:
            notices = build(service)
            await notices.open()
            await notices.subscribe({Topic.ENDED}, lambda notice: None)
            service.kill()
            notices.publish(Topic.ENDED, "a")
            began = time.monotonic()
            await notices.close()
            assert time.monotonic() - began < 6
