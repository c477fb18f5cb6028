from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from polytope_server.drivers.rabbitmq import RabbitMQSettings
from polytope_server.notices import Notice, Topic
from polytope_server.notices.rabbitmq import RabbitMQNotices
from polytope_server.testing.notices import Connect, NoticesContract, Open
from polytope_server.testing.waiting import until
from testbed.services import RabbitMQ


@pytest.fixture
def channel(rabbitmq: RabbitMQ) -> Iterator[BlockingChannel]:
    """A connection of another program."""
    account = pika.PlainCredentials(rabbitmq.user, rabbitmq.password)
    with pika.BlockingConnection(
        pika.ConnectionParameters(rabbitmq.host, rabbitmq.port, credentials=account)
    ) as connection:
        yield connection.channel()


@pytest.fixture
def name(channel: BlockingChannel) -> Iterator[str]:
    name = f"tests-{uuid4().hex[:8]}"
    yield name
    for topic in Topic:
        channel.exchange_delete(f"{name}.notices.{topic}")


class TestRabbitMQNotices(NoticesContract):
    @pytest.fixture
    def connect(self, rabbitmq: RabbitMQ, name: str) -> Connect:
        settings = RabbitMQSettings(
            host=rabbitmq.host,
            port=rabbitmq.port,
            user=rabbitmq.user,
            password=rabbitmq.password,
            name=name,
        )
        return lambda: RabbitMQNotices(settings, Path("unused"))

    async def test_many_notices_of_one_turn_arrive_in_order(self, make: Open) -> None:
        publisher, subscriber = await make(), await make()
        received: list[str] = []
        await subscriber.subscribe({Topic.ENDED}, lambda notice: received.append(notice.request_id))
        ids = [str(number) for number in range(5000)]
        for request_id in ids:
            publisher.publish(Topic.ENDED, request_id)
        await until(lambda: len(received) == 5000)
        assert received == ids

    async def test_other_deployments_on_the_server_hear_nothing(
        self, make: Open, rabbitmq: RabbitMQ, channel: BlockingChannel, name: str
    ) -> None:
        subscriber = await make()
        received: list[Notice] = []
        await subscriber.subscribe(set(Topic), received.append)
        channel.exchange_declare(f"{name}x.notices.ended", "fanout", durable=True)
        channel.basic_publish(f"{name}x.notices.ended", "", b"a")
        channel.exchange_delete(f"{name}x.notices.ended")
        channel.basic_publish(f"{name}.notices.ended", "", b"b")
        await until(lambda: received == [Notice(Topic.ENDED, "b")])

    async def test_what_is_no_notice_does_no_harm(
        self, make: Open, channel: BlockingChannel, name: str
    ) -> None:
        subscriber = await make()
        received: list[Notice] = []
        await subscriber.subscribe({Topic.ENDED}, received.append)
        channel.basic_publish(f"{name}.notices.ended", "", b"\xff")
        channel.basic_publish(f"{name}.notices.ended", "", b"a")
        await until(lambda: Notice(Topic.ENDED, "a") in received)

    async def test_exchanges_that_are_deleted_are_made_again(
        self, make: Open, channel: BlockingChannel, name: str
    ) -> None:
        publisher, subscriber = await make(), await make()
        received: list[Notice] = []
        await subscriber.subscribe({Topic.ENDED}, received.append)
        channel.exchange_delete(f"{name}.notices.ended")
        # The server says nothing until something is published to it.
        await subscriber.subscribe({Topic.WAITING}, received.append)

        def noticed() -> bool:
            subscriber.publish(Topic.ENDED, "a")
            publisher.publish(Topic.ENDED, "b")
            return {notice.request_id for notice in received} == {"a", "b"}

        await until(noticed)

    async def test_the_queues_of_subscribers_end_with_them(
        self, make: Open, rabbitmq: RabbitMQ, channel: BlockingChannel, name: str
    ) -> None:
        subscriber = await make()
        await subscriber.subscribe({Topic.ENDED}, lambda notice: None)
        await subscriber.close()
        channel.exchange_delete(f"{name}.notices.ended", if_unused=True)
