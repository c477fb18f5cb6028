import asyncio
import logging
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from polytope_server.drivers.rabbitmq import RabbitMQSettings
from polytope_server.notices import Topic
from polytope_server.notices.rabbitmq import RabbitMQNotices
from polytope_server.queue import Delivery, Message, QueueUnavailableError
from polytope_server.queue.rabbitmq import RabbitMQQueue
from polytope_server.testing.waiting import until
from testbed.services import RabbitMQ

#: Seconds in which everything works again; promised are 10.
_SOON = 5.0
#: Seconds in which a machine with much to do has RabbitMQ write down what queues it has.
_PATIENCE = 30.0


def settings_of(service: RabbitMQ, **keys: Any) -> RabbitMQSettings:
    account = {"host": service.host, "port": service.port, "user": service.user}
    return RabbitMQSettings.model_validate({**account, "password": service.password, **keys})


@pytest.fixture(scope="module")
def servers_own(rabbitmq: RabbitMQ, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    with RabbitMQ(tmp_path_factory.mktemp("own")) as service:
        yield service


@pytest.fixture
def own(servers_own: RabbitMQ) -> RabbitMQ:
    """A server of this module's own, which runs, whatever became of the test before."""
    if not servers_own.running:
        servers_own.start()
    return servers_own


@pytest.fixture
async def queue(own: RabbitMQ, request: pytest.FixtureRequest) -> AsyncIterator[Callable[[], RabbitMQQueue]]:
    made: list[RabbitMQQueue] = []

    def make() -> RabbitMQQueue:
        made.append(RabbitMQQueue(settings_of(own, name=request.node.name), Path("unused")))
        return made[-1]

    yield make
    for each in made:
        await each.close()


class _Side:
    """One that publishes, or consumes, and goes on whatever happens."""

    def __init__(self, queue: RabbitMQQueue) -> None:
        self.queue = queue
        self.ids: list[str] = []

    async def publish(self) -> None:
        """Publish numbers for ever; `ids` are those that are certain."""
        for number in range(1_000_000):
            while True:
                try:
                    await self.queue.open_publisher()
                    await self.queue.publish([Message(str(number))])
                    break
                except QueueUnavailableError:
                    await asyncio.sleep(0.05)
            self.ids.append(str(number))

    async def consume(self) -> None:
        await self.queue.open_consumer(["default"], self._take)
        self.queue.grant(2)

    def _take(self, delivery: Delivery) -> None:
        self.ids.append(delivery.message.request_id)
        delivery.ack()
        self.queue.grant(1)


async def _until_kept(service: RabbitMQ, name: str) -> None:
    """Wait for the server to have written down that it has a quorum queue.

    It confirms a queue up to 3 s before: one that it is killed in that time has lost its leader for good.
    """
    (names,) = (service.folder / "data").glob("*/quorum/*/names.dets")
    await until(lambda: re.search(rb"%%2F_%s(?!\.)" % name.encode(), names.read_bytes()), _PATIENCE)


async def test_what_was_published_survives_a_server_that_is_killed(
    own: RabbitMQ, queue: Callable[[], RabbitMQQueue], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    publisher, consumer = _Side(queue()), _Side(queue())
    publishing = asyncio.create_task(publisher.publish())
    await consumer.consume()
    await _until_kept(own, "test_what_was_published_survives_a_server_that_is_killed")
    await until(lambda: len(consumer.ids) > 100)
    own.kill()
    certain, delivered = len(publisher.ids), len(consumer.ids)
    await asyncio.to_thread(own.start)
    back = time.monotonic()
    await until(lambda: len(publisher.ids) > certain + 20 and len(consumer.ids) > delivered + 20)
    assert time.monotonic() - back < _SOON
    publishing.cancel()
    await until(lambda: set(publisher.ids) <= set(consumer.ids))
    # One line for each side at the loss, and one at the return.
    levels = [record.levelname for record in caplog.records if record.name.startswith("polytope_server")]
    assert sorted(levels) == ["INFO", "INFO", "WARNING", "WARNING"]


async def test_what_waits_survives_a_server_that_is_killed(
    own: RabbitMQ, queue: Callable[[], RabbitMQQueue]
) -> None:
    publisher, consumer = queue(), _Side(queue())
    await publisher.open_publisher()
    await publisher.publish([Message(str(number)) for number in range(100)])
    await _until_kept(own, "test_what_waits_survives_a_server_that_is_killed")
    own.kill()
    began = time.monotonic()
    with pytest.raises(QueueUnavailableError):
        await publisher.publish([Message("lost")])
    with pytest.raises(QueueUnavailableError, match=r"Connection refused|starts or ends"):
        await queue().open_publisher()
    with pytest.raises(QueueUnavailableError):
        await publisher.count()
    assert time.monotonic() - began < 3
    await consumer.consume()  # while the server is down
    await asyncio.to_thread(own.start)
    await until(lambda: len(consumer.ids) == 100)
    assert consumer.ids == [str(number) for number in range(100)]


async def test_an_answer_to_what_came_before_the_loss_does_nothing(
    own: RabbitMQ, queue: Callable[[], RabbitMQQueue]
) -> None:
    publisher, consumer, deliveries = queue(), queue(), list[Delivery]()
    await publisher.open_publisher()
    await publisher.publish([Message("a"), Message("b"), Message("c")])
    await consumer.open_consumer(["default"], deliveries.append)
    consumer.grant(2)
    await until(lambda: len(deliveries) == 2)
    await _until_kept(own, "test_an_answer_to_what_came_before_the_loss_does_nothing")
    own.kill()
    await asyncio.to_thread(own.start)
    deliveries[0].ack()
    deliveries[1].nack()
    consumer.grant(4)
    await until(lambda: len(deliveries) == 5)
    assert sorted(each.message.request_id for each in deliveries[2:]) == ["a", "b", "c"]


async def test_a_server_that_does_not_answer_is_given_up(
    own: RabbitMQ, queue: Callable[[], RabbitMQQueue]
) -> None:
    publisher, consumer = queue(), _Side(queue())
    await publisher.open_publisher()
    await consumer.consume()
    await publisher.publish([Message("a")])
    await until(lambda: consumer.ids == ["a"])
    async with _hanging(own):
        for question in (publisher.publish([Message("b")]), publisher.count(), queue().open_publisher()):
            began = time.monotonic()
            with pytest.raises(QueueUnavailableError):
                await question
            assert time.monotonic() - began < 7
    began = time.monotonic()
    await _until_published(publisher, "c")
    await until(lambda: "c" in consumer.ids)
    assert time.monotonic() - began < 2 * _SOON


async def test_a_server_that_is_full_takes_nothing_until_it_has_room(
    own: RabbitMQ, queue: Callable[[], RabbitMQQueue]
) -> None:
    publisher = queue()
    await publisher.open_publisher()
    await asyncio.to_thread(own.control, "set_vm_memory_high_watermark", "absolute", "1")
    with pytest.raises(QueueUnavailableError, match="short of memory"):
        await publisher.publish([Message("a")])
    with pytest.raises(QueueUnavailableError, match="takes no messages"):
        await publisher.publish([Message("b")])
    await asyncio.to_thread(own.control, "set_vm_memory_high_watermark", "absolute", "1GB")
    await _until_published(publisher, "c")


async def test_an_account_needs_rights_on_names_of_its_own_only(own: RabbitMQ) -> None:
    await asyncio.to_thread(own.control, "add_user", "limited", "hunter2")
    configure, write = r"^(mine.*|amq\.gen-.*)$", r"^(mine.*|amq\.gen-.*|amq\.default)$"
    rights = ("set_permissions", "limited", configure, write, configure)
    await asyncio.to_thread(own.control, *rights)
    allowed, foreign = (
        settings_of(own, user="limited", password="hunter2", name=x) for x in ("mine", "other")
    )
    publisher, consumer = (
        RabbitMQQueue(allowed, Path("unused")),
        _Side(RabbitMQQueue(allowed, Path("unused"))),
    )
    notices = RabbitMQNotices(allowed, Path("unused"))
    await publisher.open_publisher()
    await publisher.publish([Message("a"), Message("b", "slow")])
    await consumer.consume()
    await until(lambda: consumer.ids == ["a"])
    received: list[str] = []
    await notices.open()
    await notices.subscribe(set(Topic), lambda notice: received.append(notice.request_id))
    notices.publish(Topic.ENDED, "c")
    await until(lambda: received == ["c"])
    refused = RabbitMQQueue(foreign, Path("unused"))
    with pytest.raises(QueueUnavailableError, match="ACCESS_REFUSED"):
        await refused.open_publisher()
    for each in (publisher, consumer.queue, notices, refused):
        await each.close()


async def test_notices_come_again_after_the_server_was_killed(
    own: RabbitMQ, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    publisher, subscriber = (RabbitMQNotices(settings_of(own), Path("unused")) for _ in range(2))
    await publisher.open()
    await subscriber.open()
    received: list[str] = []
    await subscriber.subscribe({Topic.ENDED}, lambda notice: received.append(notice.request_id))
    publisher.publish(Topic.ENDED, "before")
    await until(lambda: received == ["before"])
    own.kill()
    publisher.publish(Topic.ENDED, "lost, or late")
    await asyncio.to_thread(own.start)
    back = time.monotonic()
    while "after" not in received:
        publisher.publish(Topic.ENDED, "after")
        await asyncio.sleep(0.02)
    assert time.monotonic() - back < _SOON
    for notices in (publisher, subscriber):
        await notices.close()
    levels = [record.levelname for record in caplog.records if record.name.startswith("polytope_server")]
    assert sorted(levels) == ["INFO", "INFO", "WARNING", "WARNING"]


async def test_notices_open_and_subscribe_while_the_server_is_down(own: RabbitMQ) -> None:
    own.kill()
    notices = RabbitMQNotices(settings_of(own), Path("unused"))
    began = time.monotonic()
    await notices.open()
    received: list[str] = []
    await notices.subscribe({Topic.ENDED}, lambda notice: received.append(notice.request_id))
    assert time.monotonic() - began < 1
    for _ in range(20_000):  # more than is kept
        notices.publish(Topic.ENDED, "early")
    await asyncio.to_thread(own.start)
    while "after" not in received:
        notices.publish(Topic.ENDED, "after")
        await asyncio.sleep(0.02)
    assert received.count("early") <= 1000
    await notices.close()


@pytest.mark.parametrize("greeting", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
async def test_what_is_no_rabbitmq_is_said_to_be_none(greeting: bytes) -> None:
    def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if greeting:
            writer.write(greeting)
            writer.close()
        writers.append(writer)

    writers: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    queue = RabbitMQQueue(RabbitMQSettings(host="127.0.0.1", port=port), Path("unused"))
    with pytest.raises(
        QueueUnavailableError, match="expects TLS, or is no RabbitMQ" if greeting else "no answer in time"
    ):
        await queue.open_publisher()
    await queue.close()
    for writer in writers:
        writer.close()
    server.close()


async def test_a_connection_that_is_being_made_can_be_closed() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=8) as silent:
        queue = RabbitMQQueue(
            RabbitMQSettings(host="127.0.0.1", port=silent.getsockname()[1]), Path("unused")
        )
        began = time.monotonic()
        for _ in range(3):
            await queue.open_consumer(["default"], lambda _: None)
            await asyncio.sleep(0)
            await queue.close()
        assert time.monotonic() - began < 1


class _Peculiar(RabbitMQ):
    """TLS only, and without quorum queues, as some providers have it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        _certify(self.folder)
        with (self.folder / "rabbitmq.conf").open("a") as configuration:
            configuration.write(
                f"listeners.tcp = none\nlisteners.ssl.1 = {self.host}:{self.port}\n"
                f"ssl_options.cacertfile = {self.folder}/ca.pem\n"
                f"ssl_options.certfile = {self.folder}/server.pem\n"
                f"ssl_options.keyfile = {self.folder}/server.key\n"
            )

    def environment(self) -> Mapping[str, str]:
        return {**super().environment(), "RABBITMQ_FEATURE_FLAGS": ""}

    def ready(self) -> bool:
        with socket.create_connection((self.host, self.port), timeout=2):
            return True


async def test_tls_and_classic_queues_where_there_are_no_others(rabbitmq: RabbitMQ, tmp_path: Path) -> None:
    with _Peculiar(tmp_path) as service:
        settings = settings_of(service, tls=True, ca_file=service.folder / "ca.pem")
        distrustful = RabbitMQQueue(settings_of(service, tls=True), Path("unused"))
        with pytest.raises(QueueUnavailableError, match="TLS failed"):
            await distrustful.open_publisher()
        await distrustful.close()
        publisher, consumer = (RabbitMQQueue(settings, Path("unused")) for _ in range(2))
        side = _Side(consumer)
        await side.consume()
        await _until_published(publisher, "a")
        await until(lambda: "a" in side.ids)
        kinds = await asyncio.to_thread(service.control, "-q", "list_queues", "name", "type", "durable")
        await publisher.close()
        await consumer.close()
    assert "default\tclassic\ttrue" in kinds


async def _until_published(queue: RabbitMQQueue, request_id: str) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                await queue.open_publisher()
                await queue.publish([Message(request_id)])
                return
            except QueueUnavailableError:
                await asyncio.sleep(0.05)


@asynccontextmanager
async def _hanging(service: RabbitMQ) -> AsyncIterator[None]:
    """The context in which no process of the server runs."""
    group = service.process.pid
    own = [process for process in psutil.process_iter() if _group_of(process.pid) == group]
    service.signal(signal.SIGSTOP)
    try:
        await until(lambda: all(process.status() == psutil.STATUS_STOPPED for process in own))
        yield
    finally:
        service.signal(signal.SIGCONT)


def _group_of(pid: int) -> int | None:
    with suppress(ProcessLookupError):
        return os.getpgid(pid)
    return None


def _certify(folder: Path) -> None:
    """An authority, and the certificate of a server at 127.0.0.1."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    new = ("req", "-newkey", "rsa:2048", "-nodes", "-subj")
    openssl(*new, "/CN=tests", "-x509", "-days", "2", "-keyout", "ca.key", "-out", "ca.pem")
    openssl(*new, "/CN=127.0.0.1", "-keyout", "server.key", "-out", "server.csr")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
    signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names", "-days", "2")
    openssl("x509", "-req", "-in", "server.csr", *signed, "-out", "server.pem")
