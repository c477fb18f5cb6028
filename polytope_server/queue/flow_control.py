"""Grants of messages, for a server that knows none.

Such a server sends a subscriber the next message as soon as the one before is answered, whether the
subscriber is busy or not. So there is a subscription for each message that is granted, and no other: when its
message is answered, a subscription serves the next grant, or it ends, and only then the server hears the
answer. To end one and open another costs the server much more than a message does; so a subscription may
wait a little for the next grant.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

Answer = Callable[[], None]


class Subscriber(Protocol):
    """Opens and ends subscriptions, each of which the server sends one unanswered message at most."""

    async def subscribe(self, queue: str, tag: str) -> None:
        """Open a subscription of a queue."""

    async def unsubscribe(self, tag: str) -> None:
        """End a subscription: nothing is received by it from the call on."""


@dataclass
class _Line:
    """The subscriptions of one queue."""

    queue: str
    #: Those that wait for a message.
    free: list[str] = field(default_factory=list)
    #: Those whose message is answered, which the server does not know yet; and whether they have waited
    #: long enough. Such ones come first.
    answered: deque[tuple[str, Answer, bool]] = field(default_factory=deque)

    def waited(self, tag: str) -> None:
        """This subscription has waited long enough, if it still waits."""
        for entry in self.answered:
            if entry[0] == tag:
                self.answered.remove(entry)
                self.answered.appendleft((tag, entry[1], True))
                return


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
        """All subscriptions are gone, with the connection: what they were sent is another's now."""
        self._lines = deque(_Line(queue) for queue in self._queues)
        self._held: dict[str, _Line] = {}

    def grant(self, count: int) -> None:
        """Let so many more messages come."""
        self.granted += count
        for line in self._lines:
            self._reuse(line)
        self._changed.set()

    def take(self, tag: str) -> bool:
        """A message has come by this subscription: whether it was granted. It must be answered either way."""
        for line in self._lines:
            if tag in line.free:
                line.free.remove(tag)
                self._held[tag] = line
                break
        else:
            return False
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
        line = self._held.pop(tag, None)
        if line is None:
            return
        if at_once or not self._patience:
            line.answered.appendleft((tag, answer, True))
        else:
            line.answered.append((tag, answer, False))
            asyncio.get_running_loop().call_later(self._patience, self._has_waited, line, tag)
        self._reuse(line)
        self._changed.set()

    def _has_waited(self, line: _Line, tag: str) -> None:
        # Not by the clock: a timer may be early by its resolution, and nothing would look a second time.
        line.waited(tag)
        self._changed.set()

    def flush(self) -> None:
        """Give the server all answers at once, because all subscriptions are about to end."""
        lines = list(self._lines)
        self.reset()
        for line in lines:
            for _, answer, _ in line.answered:
                answer()

    async def regulate(self, subscriber: Subscriber) -> None:
        """Open and end subscriptions as needed, for ever. Raises what `subscriber` does."""
        while True:
            if not await self._step(subscriber):
                self._changed.clear()
                await self._changed.wait()

    async def _step(self, subscriber: Subscriber) -> bool:
        """Do one thing that is needed, if anything is."""
        for line in self._lines:
            if len(line.free) > self.granted:
                await subscriber.unsubscribe(line.free.pop())
                return True
            if line.answered and line.answered[0][2]:
                tag, answer, _ = line.answered.popleft()
                try:
                    await subscriber.unsubscribe(tag)
                finally:
                    answer()
                return True
        for line in self._lines:
            if len(line.free) < self.granted:
                await self._subscribe(line, subscriber)
                return True
        return False

    async def _subscribe(self, line: _Line, subscriber: Subscriber) -> None:
        # Another queue is the first to be asked next time, so that each has its turn.
        self._lines.remove(line)
        self._lines.append(line)
        self._tags += 1
        tag = str(self._tags)
        line.free.append(tag)
        await subscriber.subscribe(line.queue, tag)

    def _reuse(self, line: _Line) -> None:
        """Answer where the server may send the next message by the same subscription."""
        while line.answered and len(line.free) < self.granted:
            tag, answer, _ = line.answered.popleft()
            line.free.append(tag)
            answer()
