"""Credit-based flow control, for a server that has none: messages come as far as they are granted.

Such a server sends a subscriber the next message as soon as the one before is answered, whether the
subscriber is busy or not. So there is a subscription for each message that is granted, and no other. It goes
round three states:

- **ready**: it is open at the server, which may send its message at any time;
- **busy**: its message has come, and is not answered;
- **answered**: its message is answered here, and the server does not know it yet.

With the next grant an answered subscription gives the server its answer, and is ready again. Without one it
ends, and then gives the answer. To end a subscription and open another costs the server much more than a
message does; so one that is answered may wait a little for the next grant.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Protocol

Answer = Callable[[], None]


class Subscriber(Protocol):
    """Opens and ends subscriptions, each of which the server sends one unanswered message at most."""

    async def subscribe(self, queue: str, tag: str) -> None:
        """Open a subscription of a queue."""

    async def unsubscribe(self, tag: str) -> None:
        """End a subscription: nothing is received by it from the call on."""


class _State(Enum):
    READY = auto()
    BUSY = auto()
    ANSWERED = auto()


@dataclass(eq=False)
class _Subscription:
    """A subscription that is open at the server."""

    tag: str
    line: _Line
    state: _State = _State.READY
    #: Gives the server the answer to the message, once there is one.
    answer: Answer = lambda: None
    #: Whether it has waited for the next grant as long as it may.
    is_overdue: bool = False


@dataclass(eq=False)
class _Line:
    """The subscriptions of one queue that are not busy."""

    queue: str
    ready: list[_Subscription] = field(default_factory=list)
    #: Those that are overdue come first.
    answered: deque[_Subscription] = field(default_factory=deque)

    def has_overdue(self) -> bool:
        """Whether a subscription has to end."""
        return bool(self.answered) and self.answered[0].is_overdue


class Credit:
    """How many messages may still come, and the subscriptions that are open for them."""

    def __init__(self, queues: list[str], patience: float = 0.0) -> None:
        """`patience` is how many seconds a subscription waits for the next grant."""
        self.granted = 0
        self._queues = queues
        self._patience = patience
        self._tags = 0
        self._changed = asyncio.Event()
        self.reset()

    def reset(self) -> None:
        """All subscriptions are gone, with the connection: their messages have gone back to the queue."""
        self._lines = deque(_Line(queue) for queue in self._queues)
        self._open: dict[str, _Subscription] = {}

    def grant(self, count: int) -> None:
        """Let this many more messages come."""
        self.granted += count
        for line in self._lines:
            self._reuse(line)
        self._changed.set()

    def take(self, tag: str) -> bool:
        """A message has come by this subscription: whether it was granted. It must be answered either way."""
        subscription = self._open.get(tag)
        if subscription is None or subscription.state is not _State.READY:
            return False
        subscription.line.ready.remove(subscription)
        subscription.state = _State.BUSY
        if self.granted == 0:  # two queues had one for the same grant
            return False
        self.granted -= 1
        self._changed.set()
        return True

    def answer(self, tag: str, answer: Answer, *, at_once: bool = False) -> None:
        """Give the server the answer to what came by this subscription, as soon as that does no harm.

        With `at_once` it does not wait for the next grant: others wait for what the answer gives back. Does
        nothing if it has been answered, or if the connection that it came by is gone.
        """
        subscription = self._open.get(tag)
        if subscription is None or subscription.state is not _State.BUSY:
            return
        subscription.state, subscription.answer = _State.ANSWERED, answer
        if at_once or not self._patience:
            self._make_overdue(subscription)
        else:
            subscription.is_overdue = False
            subscription.line.answered.append(subscription)
            asyncio.get_running_loop().call_later(self._patience, self._end_patience, subscription)
        self._reuse(subscription.line)
        self._changed.set()

    def _make_overdue(self, subscription: _Subscription) -> None:
        subscription.is_overdue = True
        subscription.line.answered.appendleft(subscription)

    def _end_patience(self, subscription: _Subscription) -> None:
        # Not by the clock: a timer may be early by its resolution, and nothing would look a second time.
        if subscription in subscription.line.answered:
            subscription.line.answered.remove(subscription)
            self._make_overdue(subscription)
        self._changed.set()

    def flush(self) -> None:
        """Give the server all answers at once, because all subscriptions are about to end."""
        lines = list(self._lines)
        self.reset()
        for line in lines:
            for subscription in line.answered:
                subscription.answer()

    async def regulate(self, subscriber: Subscriber) -> None:
        """Open and end subscriptions as needed, for ever. Raises what `subscriber` does."""
        while True:
            if not await self._step(subscriber):
                self._changed.clear()
                await self._changed.wait()

    async def _step(self, subscriber: Subscriber) -> bool:
        """Do one thing that is needed, if anything is."""
        for line in self._lines:
            if len(line.ready) > self.granted:
                await self._unsubscribe(line.ready.pop(), subscriber)
                return True
            if line.has_overdue():
                subscription = line.answered.popleft()
                try:
                    await self._unsubscribe(subscription, subscriber)
                finally:
                    subscription.answer()
                return True
        for line in self._lines:
            if len(line.ready) < self.granted:
                await self._subscribe(line, subscriber)
                return True
        return False

    async def _subscribe(self, line: _Line, subscriber: Subscriber) -> None:
        # Another queue is the first to be asked next time, so that each has its turn.
        self._lines.remove(line)
        self._lines.append(line)
        self._tags += 1
        subscription = _Subscription(str(self._tags), line)
        line.ready.append(subscription)
        self._open[subscription.tag] = subscription
        await subscriber.subscribe(line.queue, subscription.tag)

    async def _unsubscribe(self, subscription: _Subscription, subscriber: Subscriber) -> None:
        del self._open[subscription.tag]
        await subscriber.unsubscribe(subscription.tag)

    def _reuse(self, line: _Line) -> None:
        """Answer where the server may send the next message by the same subscription."""
        while line.answered and len(line.ready) < self.granted:
            subscription = line.answered.popleft()
            subscription.state = _State.READY
            line.ready.append(subscription)
            subscription.answer()
