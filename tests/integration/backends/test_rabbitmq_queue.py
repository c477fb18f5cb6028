import asyncio
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from polytope_server.drivers.rabbitmq import RabbitMQSettings
from polytope_server.queue import Delivery, Message, QueueUnavailableError
from polytope_server.queue.rabbitmq import RabbitMQQueue
from polytope_server.testing.queue import Connect, Consumer, QueueContract
from polytope_server.testing.waiting import until
from testbed.services import RabbitMQ


def queue_on(service: RabbitMQ, name: str, **keys: Any) -> RabbitMQQueue:
    account = {"host": service.host, "port": str(service.port), "user": service.user}
    given = {**account, "password": service.password, "name": name, **keys}
    return RabbitMQQueue(RabbitMQSettings.model_validate(given), Path("unused"))


@pytest.fixture
def channel(rabbitmq: RabbitMQ) -> Iterator[BlockingChannel]:
    """A connection of another program."""
    account = pika.PlainCredentials(rabbitmq.user, rabbitmq.password)
    with pika.BlockingConnection(
        pika.ConnectionParameters(rabbitmq.host, rabbitmq.port, credentials=account)
    ) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        yield channel


@pytest.fixture
def name(channel: BlockingChannel) -> Iterator[str]:
    name = f"tests-{uuid4().hex[:8]}"
    yield name
    for queue in ("", ".slow", ".fast", ".dead.letters"):
        channel.queue_delete(name + queue)


class TestRabbitMQQueue(QueueContract):
    @pytest.fixture
    def connect(self, rabbitmq: RabbitMQ, name: str) -> Connect:
        return lambda: queue_on(rabbitmq, name)

    async def test_the_queue_is_durable_and_its_messages_are_those_of_earlier_servers(
        self, make: Connect, channel: BlockingChannel, name: str
    ) -> None:
        publisher = await self._publisher(make)
        await publisher.publish([Message("a"), Message("b", "slow")])
        for queue, body in ((name, b'{"id": "a"}'), (f"{name}.slow", b'{"id": "b"}')):
            channel.queue_declare(queue, durable=True, passive=True)
            _, properties, found = channel.basic_get(queue, auto_ack=True)
            assert (properties.delivery_mode, found) == (2, body)

    async def test_the_queue_of_an_earlier_server_is_used_as_it_is(
        self, make: Connect, channel: BlockingChannel, name: str
    ) -> None:
        channel.queue_declare(name, durable=True)
        channel.basic_publish("", name, b'{"id": "a"}')
        publisher, consumer = await self._publisher(make), await self._consumer(make, 2)
        await publisher.publish([Message("b")])
        await until(lambda: len(consumer.ids) == 2)
        assert consumer.ids == ["a", "b"]

    @pytest.mark.parametrize(
        "body", [b"", b"a", b"[]", b'{"name": 1}', b'{"id": 1}', b"\xff", b"[" * 100_000]
    )
    async def test_what_is_no_message_is_set_aside(
        self,
        make: Connect,
        channel: BlockingChannel,
        name: str,
        body: bytes,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        publisher, consumer = await self._publisher(make), await self._consumer(make, 1)
        channel.basic_publish("", name, body)
        await publisher.publish([Message("a")])
        await until(lambda: consumer.ids == ["a"])
        await until(lambda: channel.basic_get(f"{name}.dead.letters", auto_ack=True)[2] == body)
        assert [record.levelname for record in caplog.records] == ["WARNING"]

    async def test_what_is_given_back_is_never_dropped(self, make: Connect) -> None:
        publisher, consumer = await self._publisher(make), await self._consumer(make, 1)
        await publisher.publish([Message("a")])
        for times in range(1, 50):
            await until(lambda times=times: len(consumer.ids) == times)
            consumer.deliveries[-1].nack()
            consumer.queue.grant(1)

    async def test_a_queue_that_is_purged_goes_on(
        self, make: Connect, channel: BlockingChannel, name: str
    ) -> None:
        publisher = await self._publisher(make)
        await publisher.publish([Message("a"), Message("b")])
        channel.queue_purge(name)
        assert await publisher.count() == 0
        consumer = await self._consumer(make, 1)
        await publisher.publish([Message("c")])
        await until(lambda: consumer.ids == ["c"])

    @pytest.mark.parametrize("queue", ["default", "slow"])
    async def test_a_queue_that_is_deleted_is_made_again_by_the_publisher(
        self, make: Connect, channel: BlockingChannel, name: str, queue: str
    ) -> None:
        publisher = await self._publisher(make)
        await publisher.publish([Message("a", queue)])
        channel.queue_delete(name if queue == "default" else f"{name}.{queue}")
        assert await publisher.count(queue) == 0
        await publisher.publish([Message(str(number), queue) for number in range(3)])
        assert await publisher.count(queue) == 3
        consumer = await self._consumer(make, 3, queue)
        await until(lambda: consumer.ids == ["0", "1", "2"])

    async def test_a_queue_that_is_deleted_is_made_again_by_the_consumer(
        self, make: Connect, channel: BlockingChannel, name: str
    ) -> None:
        publisher, worker = await self._publisher(make), _Worker(make(), slots=2)
        await worker.start(["default", "slow"])
        await publisher.publish([Message("a")])
        await until(lambda: worker.ids == ["a"])
        channel.queue_delete(name)
        channel.queue_delete(f"{name}.slow")
        async with asyncio.timeout(10):
            # Again and again, as the broker does: RabbitMQ 3.10 takes a message of the new queue for the one
            # of the same number in the old queue, if a consumer does not hear of the deletion in between.
            while set(worker.ids) != {"a", "b", "c"}:
                await publisher.publish([Message("b"), Message("c", "slow")])
                await asyncio.sleep(0.02)

    async def test_a_queue_that_does_not_exist_is_empty(self, make: Connect) -> None:
        assert await (await self._publisher(make)).count("slow") == 0

    async def test_a_publisher_may_close_and_open_again(self, make: Connect) -> None:
        queue = make()
        for number in range(5):
            await queue.close()
            await queue.open_publisher()
            await queue.open_publisher()
            await queue.publish([Message("a")])
            assert await queue.count() == number + 1

    async def test_many_messages_are_published_in_order(self, make: Connect) -> None:
        publisher, consumer = await self._publisher(make), Consumer(make())
        ids = [str(number) for number in range(1200)]
        await publisher.publish([Message(request_id) for request_id in ids])

        def deliver(delivery: Delivery) -> None:
            consumer.deliveries.append(delivery)
            delivery.ack()
            consumer.queue.grant(1)

        await consumer.queue.open_consumer(["default"], deliver)
        consumer.queue.grant(4)
        await until(lambda: len(consumer.ids) == 1200)
        assert consumer.ids == ids

    @pytest.mark.parametrize("queues", [["default"], ["default", "slow", "fast"]])
    async def test_under_load_no_worker_has_more_than_its_slots(
        self, make: Connect, queues: list[str]
    ) -> None:
        publisher = await self._publisher(make)
        workers = [_Worker(make(), slots=2) for _ in range(3)]
        for worker in workers:
            await worker.start(queues)
        messages = [Message(str(number), queues[number % len(queues)]) for number in range(2000)]
        for start in range(0, 2000, 100):
            await publisher.publish(messages[start : start + 100])
        await until(lambda: sum(len(worker.ids) for worker in workers) >= 2000, 60)
        taken = [request_id for worker in workers for request_id in worker.ids]
        assert sorted(taken) == sorted(message.request_id for message in messages)
        assert max(worker.most for worker in workers) == 2
        assert [await publisher.count(queue) for queue in queues] == [0] * len(queues)

    async def test_one_grant_takes_one_message_of_several_queues(self, make: Connect) -> None:
        publisher = await self._publisher(make)
        await publisher.publish([Message("a"), Message("b", "slow"), Message("c", "fast")])
        consumer = await self._consumer(make, 1, "default", "slow", "fast")
        for count in range(1, 4):
            await until(lambda count=count: len(consumer.ids) == count)
            consumer.deliveries[-1].ack()
            left = 3 - count
            await _until_counts(publisher, ["default", "slow", "fast"], left)
            consumer.queue.grant(1)
        assert sorted(consumer.ids) == ["a", "b", "c"]

    async def test_what_is_answered_before_closing_does_not_come_back(self, make: Connect) -> None:
        publisher, consumer = await self._publisher(make), await self._consumer(make, 2)
        await publisher.publish([Message("a"), Message("b")])
        await until(lambda: len(consumer.ids) == 2)
        consumer.deliveries[0].ack()
        consumer.deliveries[1].nack()
        await consumer.queue.close()
        consumer.deliveries[1].ack()
        consumer.queue.grant(1)
        heir = await self._consumer(make, 2)
        await until(lambda: heir.ids == ["b"])
        assert await publisher.count() == 0

    @pytest.mark.parametrize(
        ("keys", "reason"),
        [
            ({"password": "hunter2"}, "it refuses `user` or `password`"),
            ({"virtual_host": "/nowhere"}, "vhost /nowhere not found"),
            ({"tls": True}, "TLS failed"),
            ({"tls": True, "ca_file": "/nowhere.pem"}, "No such file"),
        ],
    )
    async def test_a_wrong_key_is_explained_without_the_password(
        self,
        rabbitmq: RabbitMQ,
        name: str,
        caplog: pytest.LogCaptureFixture,
        keys: dict[str, Any],
        reason: str,
    ) -> None:
        caplog.set_level(logging.INFO)
        queue = queue_on(rabbitmq, name, **keys)
        with pytest.raises(QueueUnavailableError, match=reason) as failure:
            await queue.open_publisher()
        with pytest.raises(QueueUnavailableError, match=reason):
            await queue.publish([Message("a")])
        with pytest.raises(QueueUnavailableError, match=reason):
            await queue.count()
        await queue.close()
        assert f"RabbitMQ at 127.0.0.1:{rabbitmq.port} (queue, publisher)" in str(failure.value)
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        assert "hunter2" not in caplog.text + str(failure.value) + repr(queue_on(rabbitmq, name, **keys))


class _Worker:
    """Works on each message for a few turns of the event loop."""

    def __init__(self, queue: Any, slots: int) -> None:
        self.ids: list[str] = []
        self.most = self._busy = 0
        self._queue, self._slots = queue, slots
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, queues: list[str]) -> None:
        await self._queue.open_consumer(queues, self._take)
        self._queue.grant(self._slots)

    def _take(self, delivery: Delivery) -> None:
        self.ids.append(delivery.message.request_id)
        self._busy += 1
        self.most = max(self.most, self._busy)
        task = asyncio.create_task(self._work(delivery.ack))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work(self, ack: Callable[[], None]) -> None:
        await _turns(3)
        ack()
        await _turns(len(self.ids) % 7)
        self._busy -= 1
        self._queue.grant(1)


async def _turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def _until_counts(queue: Any, names: list[str], wanted: int) -> None:
    async with asyncio.timeout(10):
        while sum([await queue.count(name) for name in names]) != wanted:  # noqa: ASYNC110
            await asyncio.sleep(0.002)
