"""What every queue promises. Inherit, and give the fixture `connect` a function that makes instances."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

from polytope_server.queue import Delivery, Message, Queue, QueueUnavailableError
from polytope_server.testing.waiting import until

Connect = Callable[[], Queue]


class Consumer:
    """A consumer that keeps what it gets."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.deliveries: list[Delivery] = []

    @property
    def ids(self) -> list[str]:
        """The ids received so far."""
        return [delivery.message.request_id for delivery in self.deliveries]


class QueueContract:
    """The contract tests. All instances that `connect` makes are of the same queue."""

    @pytest.fixture
    async def make(self, connect: Connect) -> AsyncIterator[Connect]:
        made: list[Queue] = []

        def track() -> Queue:
            made.append(connect())
            return made[-1]

        yield track
        for queue in reversed(made):
            await queue.close()

    async def _publisher(self, make: Connect) -> Queue:
        queue = make()
        await queue.open_publisher()
        return queue

    async def _consumer(self, make: Connect, grant: int, *queues: str) -> Consumer:
        consumer = Consumer(make())
        await consumer.queue.open_consumer(list(queues or ("default",)), consumer.deliveries.append)
        consumer.queue.grant(grant)
        return consumer

    async def test_a_message_reaches_a_consumer_in_order(self, make: Connect) -> None:
        publisher = await self._publisher(make)
        consumer = await self._consumer(make, 10)
        await publisher.publish([Message("a"), Message("b")])
        await publisher.publish([Message("c")])
        await until(lambda: len(consumer.ids) == 3)
        assert consumer.ids == ["a", "b", "c"]

    async def test_both_sides_of_an_open_queue_answer_their_check(self, make: Connect) -> None:
        publisher = await self._publisher(make)
        consumer = await self._consumer(make, 1)
        await publisher.publish([Message("a")])
        await until(lambda: consumer.ids == ["a"])
        await publisher.check()
        await consumer.queue.check()

    async def test_messages_wait_for_a_consumer(self, make: Connect) -> None:
        publisher = await self._publisher(make)
        await publisher.publish([Message("a")])
        assert await publisher.count() == 1
        consumer = await self._consumer(make, 1)
        await until(lambda: consumer.ids == ["a"])
        assert await publisher.count() == 0

    async def test_a_consumer_gets_no_more_than_it_granted(self, make: Connect) -> None:
        publisher = await self._publisher(make)
        consumer = await self._consumer(make, 2)
        await publisher.publish([Message(str(number)) for number in range(5)])
        await until(lambda: len(consumer.ids) == 2)
        consumer.deliveries[0].ack()  # an answer is not a grant
        consumer.queue.grant(1)
        await until(lambda: len(consumer.ids) == 3)
        assert await publisher.count() == 2

    async def test_idle_consumers_share_the_work(self, make: Connect) -> None:
        publisher = await self._publisher(make)
        first, second = await self._consumer(make, 1), await self._consumer(make, 1)
        await publisher.publish([Message("a"), Message("b")])
        await until(lambda: len(first.ids) + len(second.ids) == 2)
        assert sorted(first.ids + second.ids) == ["a", "b"]
        assert first.ids
        assert second.ids

    async def test_what_is_given_back_comes_again(self, make: Connect) -> None:
        publisher = await self._publisher(make)
        consumer = await self._consumer(make, 2)
        await publisher.publish([Message("a")])
        await until(lambda: consumer.ids == ["a"])
        consumer.deliveries[0].nack()
        await until(lambda: consumer.ids == ["a", "a"])

    async def test_what_a_dead_consumer_held_goes_to_another(self, make: Connect) -> None:
        publisher = await self._publisher(make)
        dying = await self._consumer(make, 2)
        await publisher.publish([Message("a"), Message("b")])
        await until(lambda: len(dying.ids) == 2)
        dying.deliveries[0].ack()
        await until_settled(publisher)
        heir = await self._consumer(make, 5)
        await dying.queue.close()
        await until(lambda: heir.ids == ["b"])

    async def test_an_acknowledged_message_is_gone_and_may_come_again(self, make: Connect) -> None:
        publisher = await self._publisher(make)
        consumer = await self._consumer(make, 3)
        await publisher.publish([Message("a")])
        await until(lambda: consumer.ids == ["a"])
        consumer.deliveries[0].ack()
        await until_settled(publisher)
        await publisher.publish([Message("a")])
        await until(lambda: consumer.ids == ["a", "a"])

    async def test_a_consumer_gets_messages_of_its_queues_only(self, make: Connect) -> None:
        publisher = await self._publisher(make)
        slow = await self._consumer(make, 5, "slow")
        fast = await self._consumer(make, 5, "fast", "default")
        await publisher.publish([Message("s", "slow"), Message("f", "fast"), Message("d")])
        await until(lambda: slow.ids == ["s"] and sorted(fast.ids) == ["d", "f"])
        assert fast.deliveries[0].message.queue in ("fast", "default")

    async def test_a_consumer_may_come_first_and_comes_back(self, make: Connect) -> None:
        consumer = await self._consumer(make, 2)
        first = await self._publisher(make)
        await first.publish([Message("a")])
        await until(lambda: consumer.ids == ["a"])
        consumer.deliveries[0].ack()
        await until_settled(first)
        await first.close()
        second = await self._publisher(make)
        await second.publish([Message("b")])
        await until(lambda: consumer.ids[-1] == "b")
        assert await second.count() == 0

    async def test_an_answer_after_the_end_of_the_queue_does_nothing(self, make: Connect) -> None:
        publisher = await self._publisher(make)
        consumer = await self._consumer(make, 2)
        await publisher.publish([Message("a"), Message("b")])
        await until(lambda: len(consumer.ids) == 2)
        await publisher.close()
        turns = iter(range(20))
        await until(lambda: next(turns, None) is None)
        consumer.deliveries[0].ack()
        consumer.deliveries[1].nack()
        # A queue that outlives its publisher has b once more.
        consumer.queue.grant(2)
        heir = await self._publisher(make)
        await heir.publish([Message("c")])
        await until(lambda: consumer.ids[-1] == "c")

    async def test_publishing_needs_an_open_queue(self, connect: Connect) -> None:
        with pytest.raises(QueueUnavailableError):
            await connect().publish([Message("a")])


async def until_settled(publisher: Queue) -> None:
    """Let an answer of a consumer arrive: the publisher's end has taken a few turns of the event loop."""
    turns = iter(range(20))
    await until(lambda: next(turns, None) is None)
    assert await publisher.count() == 0
