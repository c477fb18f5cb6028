import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Callable
from functools import partial

import pytest

from polytope_server.queue.flow_control import Credit
from polytope_server.testing.waiting import until


class Server:
    """Sends each subscription one message, and the next when that is answered."""

    def __init__(self, credit: Credit) -> None:
        self.ready: dict[str, deque[str]] = {}
        self.open: dict[str, str] = {}
        self.unanswered: dict[str, str] = {}
        self.sent: list[tuple[str, str]] = []
        self.held: list[str] = []
        self.surplus = self.subscriptions = 0
        self._credit = credit

    async def subscribe(self, queue: str, tag: str) -> None:
        await asyncio.sleep(0)
        self.subscriptions += 1
        self.open[tag] = queue
        self.dispatch()
        await asyncio.sleep(0)

    async def unsubscribe(self, tag: str) -> None:
        del self.open[tag]
        await asyncio.sleep(0)
        self.dispatch()
        await asyncio.sleep(0)

    def put(self, queue: str, *messages: str) -> None:
        self.ready.setdefault(queue, deque()).extend(messages)
        self.dispatch()

    def dispatch(self) -> None:
        for tag, queue in list(self.open.items()):
            if tag not in self.unanswered and tag in self.open and self.ready.get(queue):
                self._send(tag, queue)

    def _send(self, tag: str, queue: str) -> None:
        message = self.ready[queue].popleft()
        self.unanswered[tag] = message
        if self._credit.take(tag):
            self.sent.append((tag, message))
            self.held.append(tag)
        else:
            self.surplus += 1
            back = partial(self.answered, tag, queue, back=message)
            self._credit.answer(tag, back, at_once=True)

    def answered(self, tag: str, queue: str = "", back: str = "") -> None:
        del self.unanswered[tag]
        if back:
            self.ready[queue].appendleft(back)
        self.dispatch()

    def ack(self, tag: str) -> None:
        self._credit.answer(tag, lambda: self.answered(tag))

    @property
    def messages(self) -> list[str]:
        return [message for _, message in self.sent]


Make = Callable[..., tuple[Credit, Server]]


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    tasks: list[asyncio.Task[None]] = []

    def start(*queues: str, patience: float = 0.0) -> tuple[Credit, Server]:
        credit = Credit(list(queues or ("a",)), patience)
        server = Server(credit)
        tasks.append(asyncio.create_task(credit.regulate(server)))
        return credit, server

    yield start
    for task in tasks:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(result, asyncio.CancelledError) for result in results)


async def _settle() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


async def test_nothing_comes_that_is_not_granted(make: Make) -> None:
    _, server = make()
    server.put("a", "1", "2")
    await _settle()
    assert server.messages == []


async def test_as_much_comes_as_is_granted(make: Make) -> None:
    credit, server = make()
    credit.grant(2)
    server.put("a", "1", "2", "3")
    await _settle()
    assert server.messages == ["1", "2"]


async def test_an_answer_is_no_grant(make: Make) -> None:
    credit, server = make()
    credit.grant(1)
    server.put("a", "1", "2")
    await until(lambda: server.sent)
    server.ack(server.sent[0][0])
    await _settle()
    assert server.messages == ["1"]
    assert not server.unanswered
    assert not server.open


async def test_a_grant_that_follows_an_answer_at_once_needs_no_new_subscription(make: Make) -> None:
    credit, server = make()
    credit.grant(1)
    for number in range(10):
        server.put("a", str(number))
        await until(lambda number=number: len(server.sent) == number + 1)
        server.ack(server.sent[-1][0])
        credit.grant(1)
    assert server.messages == [str(number) for number in range(10)]
    assert server.subscriptions == 1


async def test_a_grant_before_the_answer_is_served_meanwhile(make: Make) -> None:
    credit, server = make()
    credit.grant(1)
    server.put("a", "1", "2")
    await until(lambda: server.messages == ["1"])
    credit.grant(1)
    await until(lambda: server.messages == ["1", "2"])


async def test_one_grant_takes_one_message_of_several_queues(make: Make) -> None:
    credit, server = make("a", "b", "c")
    for queue in "abc":
        server.put(queue, queue + "1", queue + "2")
    taken = []
    for count in range(1, 7):
        credit.grant(1)
        await until(lambda count=count: len(server.sent) == count)
        await _settle()
        taken.append(server.messages[-1][0])
        server.ack(server.sent[-1][0])
        await _settle()
    # Each queue has its turn.
    assert sorted(taken[:3]) == sorted(taken[3:]) == ["a", "b", "c"]


async def test_what_came_by_a_connection_that_is_gone_is_not_answered(make: Make) -> None:
    credit, server = make()
    credit.grant(2)
    server.put("a", "1")
    await until(lambda: server.sent)
    credit.reset()
    server.ack(server.sent[0][0])
    assert server.unanswered
    assert credit.granted == 1


async def test_an_answer_counts_once(make: Make) -> None:
    credit, server = make()
    credit.grant(1)
    server.put("a", "1")
    await until(lambda: server.sent)
    answers: list[str] = []
    for answer in ("ack", "nack"):
        credit.answer(server.sent[0][0], lambda answer=answer: answers.append(answer))
    await _settle()
    assert answers == ["ack"]


async def test_the_end_brings_out_the_answers() -> None:
    credit = Credit(["a"])
    server = Server(credit)
    step = asyncio.create_task(credit.regulate(server))
    credit.grant(1)
    server.put("a", "1")
    await until(lambda: server.sent)
    step.cancel()
    await asyncio.wait((step,))
    server.ack(server.sent[0][0])
    credit.flush()
    assert not server.unanswered


class TestPatience:
    """Subscriptions that wait for the next grant."""

    @pytest.fixture
    async def served(self) -> AsyncIterator[tuple[Credit, Server]]:
        credit = Credit(["a"], patience=0.05)
        server = Server(credit)
        task = asyncio.create_task(credit.regulate(server))
        credit.grant(1)
        server.put("a", "1", "2")
        await until(lambda: server.sent)
        yield credit, server
        task.cancel()
        await asyncio.wait((task,))

    async def test_a_grant_that_comes_soon_is_served_by_the_same(self, served: tuple[Credit, Server]) -> None:
        credit, server = served
        server.ack(server.sent[0][0])
        await _settle()
        assert server.unanswered
        credit.grant(1)
        await until(lambda: server.messages == ["1", "2"])
        assert server.subscriptions == 1

    async def test_without_a_grant_the_answer_is_given_in_the_end(
        self, served: tuple[Credit, Server]
    ) -> None:
        _, server = served
        server.ack(server.sent[0][0])
        await until(lambda: not server.unanswered)
        assert not server.open
        assert server.messages == ["1"]

    async def test_a_timer_that_is_early_is_as_good(
        self, served: tuple[Credit, Server], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Timers are early by their resolution now and then."""
        _, server = served
        loop = asyncio.get_running_loop()
        with monkeypatch.context() as patch:
            patch.setattr(loop, "call_later", lambda _, call, *arguments: loop.call_soon(call, *arguments))
            server.ack(server.sent[0][0])
        await until(lambda: not server.unanswered)

    async def test_what_is_given_back_is_so_at_once(self, served: tuple[Credit, Server]) -> None:
        credit, server = served
        tag = server.sent[0][0]
        credit.answer(tag, lambda: server.answered(tag, "a", back="1"), at_once=True)
        await _settle()
        assert not server.unanswered
        assert list(server.ready["a"]) == ["1", "2"]


@pytest.mark.parametrize("seed", range(20))
async def test_whatever_happens_no_more_comes_than_is_granted(make: Make, seed: int) -> None:
    chance = random.Random(seed)
    queues = "a" if seed % 2 else "abc"
    credit, server = make(*queues, patience=seed % 3 / 1000)
    put = granted = 0
    for _ in range(1000):
        match chance.randrange(5):
            case 0:
                server.put(chance.choice(queues), str(put))
                put += 1
            case 1:
                credit.grant(1)
                granted += 1
            case 2 if server.held:
                server.ack(server.held.pop(chance.randrange(len(server.held))))
            case _:
                await asyncio.sleep(0)
        assert len(server.sent) <= granted
    credit.grant(put)
    await until(lambda: len(server.sent) == put)
    assert sorted(server.messages) == sorted(str(number) for number in range(put))
    if queues == "a":
        assert server.messages == [str(number) for number in range(put)]
        assert server.surplus == 0
