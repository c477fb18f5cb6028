"""What every back-end for notices promises. Inherit, and give the fixture `connect` a function that
makes instances of one deployment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from polytope_server.caching import JSON
from polytope_server.notices import LONGEST_TEXT, Notice, Notices, Topic
from polytope_server.questions.asker import Asker, NoAnswerError, NoWorkerError
from polytope_server.questions.responder import Responder
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

    async def test_long_texts_arrive_as_they_are(self, make: Open) -> None:
        publisher, subscriber = await make(), await make()
        received: list[str] = []
        await subscriber.subscribe({Topic.ANSWER}, lambda notice: received.append(notice.request_id))
        printable = "".join(map(chr, range(32, 127)))
        texts = [f"{number:03d} {printable * 50}"[:LONGEST_TEXT] for number in range(98)]
        texts += ['"' * LONGEST_TEXT, "\\" * LONGEST_TEXT]
        publisher.publish(Topic.ANSWER, *texts)
        await until(lambda: len(received) == 100)
        assert received == texts

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

    async def test_a_question_finds_one_worker_and_its_answer_the_way_back(self, make: Open) -> None:
        asked: list[str] = []
        await _work(await make(), "first", asked)
        await _work(await make(), "second", asked)
        askers = [Asker(notices) for notices in (await make(), await make())]
        for asker in askers:
            await asker._notices.subscribe({Topic.ANSWER}, asker.receive)
            await _meet_workers(asker)
        question: JSON = {"request": {"text": "\u00e9 \"' / " * 5000}}
        answers = await asyncio.gather(*(askers[number % 2].ask("it", question, 20) for number in range(6)))
        assert answers == [{"question": question, "more": "y" * 150_000}] * 6
        assert len(asked) == 6

    async def test_a_question_without_an_answer_ends_in_time(self, make: Open) -> None:
        asker = Asker(await make())
        await asker._notices.subscribe({Topic.ANSWER}, asker.receive)
        with pytest.raises(NoWorkerError):
            await asker.ask("it", "?", 60)
        worker = await make()
        responder = Responder(worker, lambda about: None, lambda question, seconds: asyncio.sleep(0))
        await worker.subscribe({Topic.QUESTION}, responder.receive)
        responder.start()
        await _meet_workers(asker)
        with pytest.raises(NoAnswerError):
            await asker.ask("it", "?", 0.05)


async def _work(notices: Notices, name: str, asked: list[str]) -> None:
    """Answer questions that frontends ask by these notices."""

    async def answer(question: JSON, seconds: float) -> JSON:
        asked.append(name)
        return {"question": question, "more": "y" * 150_000}

    responder = Responder(notices, lambda about: 0.0 if about == "it" else None, answer)
    await notices.subscribe({Topic.QUESTION}, responder.receive)
    responder.start()


async def _meet_workers(asker: Asker) -> None:
    """Return when a worker has been heard of."""
    asker.look_for_workers()
    await until(lambda: asker.knows_workers)
