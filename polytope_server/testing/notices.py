"""What every back-end for notices promises. Inherit, and give the fixture `connect` a function that
makes instances of one deployment."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from polytope_server.notices import Notice, Notices, Topic
from polytope_server.testing.waiting import until

Connect = Callable[[], Notices]
Open = Callable[[], Awaitable[Notices]]


class NoticesContract:
    """The contract tests."""

    @pytest.fixture
    async def make(self, connect: Connect) -> AsyncIterator[Open]:
        made: list[Notices] = []

        async def track() -> Notices:
            made.append(connect())
            await made[-1].open()
            return made[-1]

        yield track
        for notices in made:
            await notices.close()

    async def test_every_subscriber_of_a_topic_gets_the_notice(self, make: Open) -> None:
        publisher, first, second = await make(), await make(), await make()
        received: tuple[list[Notice], list[Notice]] = ([], [])
        await first.subscribe({Topic.ENDED}, received[0].append)
        await second.subscribe({Topic.ENDED, Topic.WAITING}, received[1].append)
        publisher.publish(Topic.ENDED, "a", "b")
        await until(lambda: len(received[0]) == 2 and len(received[1]) == 2)
        assert received[0] == [Notice(Topic.ENDED, "a"), Notice(Topic.ENDED, "b")]

    async def test_other_topics_stay_away(self, make: Open) -> None:
        publisher, subscriber = await make(), await make()
        received: list[Notice] = []
        await subscriber.subscribe({Topic.ENDED}, received.append)
        publisher.publish(Topic.WAITING, "a")
        publisher.publish(Topic.ENDED, "b")
        await until(lambda: received)
        assert received == [Notice(Topic.ENDED, "b")]

    async def test_a_process_hears_itself(self, make: Open) -> None:
        notices = await make()
        received: list[Notice] = []
        await notices.subscribe({Topic.WAITING}, received.append)
        notices.publish(Topic.WAITING, "a")
        await until(lambda: received == [Notice(Topic.WAITING, "a")])

    async def test_a_burst_arrives_whole(self, make: Open) -> None:
        publisher, subscriber = await make(), await make()
        received: list[str] = []
        await subscriber.subscribe({Topic.ENDED}, lambda notice: received.append(notice.request_id))
        ids = [f"{number:036d}" for number in range(5000)]
        for start in range(0, 5000, 50):
            publisher.publish(Topic.ENDED, *ids[start : start + 50])
        await until(lambda: len(received) == 5000)
        assert received == ids

    async def test_a_subscriber_that_is_gone_disturbs_no_other(self, make: Open) -> None:
        publisher, gone, subscriber = await make(), await make(), await make()
        received: list[Notice] = []
        await gone.subscribe({Topic.ENDED}, lambda notice: None)
        await subscriber.subscribe({Topic.ENDED}, received.append)
        publisher.publish(Topic.ENDED, "a")
        await until(lambda: len(received) == 1)
        await gone.close()
        publisher.publish(Topic.ENDED, "b")
        await until(lambda: len(received) == 2)

    async def test_publishing_to_nobody_or_when_closed_does_nothing(
        self, make: Open, connect: Connect
    ) -> None:
        publisher = await make()
        publisher.publish(Topic.ENDED, "a")
        publisher.publish(Topic.ENDED)
        connect().publish(Topic.ENDED, "a")

    async def test_what_was_published_before_closing_is_sent(self, make: Open, connect: Connect) -> None:
        subscriber = await make()
        received: list[Notice] = []
        await subscriber.subscribe({Topic.ENDED}, received.append)
        publisher = connect()
        await publisher.open()
        publisher.publish(Topic.ENDED, "a")
        await publisher.close()
        await until(lambda: received)
