"""The side of a frontend: it calls, lets the first worker that offers answer, and waits a bounded time."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from uuid import uuid4

from polytope_server.caching import JSON
from polytope_server.notices import Notice, Notices, Topic
from polytope_server.questions.messages import EVERYONE, Inbox, Message, MessageKind, pieces

logger = logging.getLogger(__name__)

#: Seconds between two looks for workers, while there seem to be none.
_PAUSE = 1.0


class NoAnswerError(Exception):
    """No answer came in time, or the worker could not give one."""


class NoWorkerError(NoAnswerError):
    """Nothing was asked, because no worker seems to be there that would answer."""


def _make_future() -> asyncio.Future[Message]:
    return asyncio.get_running_loop().create_future()


@dataclass
class _Open:
    """A question that was asked: the first offer for it, and the answer."""

    offer: asyncio.Future[Message] = field(default_factory=_make_future)
    answer: asyncio.Future[Message] = field(default_factory=_make_future)


class Asker:
    """Asks workers. After a question that no worker wanted none is asked until one is heard of."""

    def __init__(self, notices: Notices) -> None:
        """`receive` is to get the notices of the topic ANSWER."""
        self.name = uuid4().hex[:16]
        self._notices = notices
        self._inbox = Inbox(self.name)
        self._questions: dict[str, _Open] = {}
        #: Whether there seem to be workers that answer.
        self.knows_workers = False
        self._looked = float("-inf")

    def look_for_workers(self) -> None:
        """Ask who is there, unless that was asked just now. An answer comes to :meth:`receive`."""
        now = asyncio.get_running_loop().time()
        if now - self._looked >= _PAUSE:
            self._looked = now
            self._send(Message(MessageKind.WHO, EVERYONE, self.name))

    async def ask(self, about: JSON, question: JSON, seconds: float) -> JSON:
        """What a worker answers to a question.

        `about` is what each worker is shown, to find out whether it can answer. Raises NoAnswerError, after
        `seconds` at the latest, and TooLargeError.
        """
        if not self.knows_workers:
            self.look_for_workers()
            raise NoWorkerError
        end = asyncio.get_running_loop().time() + seconds
        key = uuid4().hex[:16]
        asked = self._questions[key] = _Open()
        worker = ""
        try:
            async with asyncio.timeout_at(end):
                self._send(Message(MessageKind.CALL, EVERYONE, self.name, key, about))
                worker = (await asked.offer).sender
                left = end - asyncio.get_running_loop().time()
                body: JSON = {"seconds": left, "question": question}
                self._send(Message(MessageKind.QUESTION, worker, self.name, key, body))
                return (await asked.answer).body
        except TimeoutError:
            if not worker:
                self._note_absence()
            raise NoAnswerError from None
        finally:
            del self._questions[key]

    def receive(self, notice: Notice) -> None:
        """Take a notice of the topic ANSWER."""
        message = self._inbox.add(notice.request_id)
        if message is None:
            return
        if not self.knows_workers:
            logger.debug("there are workers that answer questions")
        self.knows_workers = True
        asked = self._questions.get(message.question)
        if asked is None:
            return
        waits = asked.offer if message.kind is MessageKind.OFFER else asked.answer
        if not waits.done():
            waits.set_result(message)

    def _note_absence(self) -> None:
        """Ask no more until a worker is heard of, which is asked for at once: all may just have been busy."""
        if self.knows_workers:
            logger.info("no worker offers to answer questions; nothing is asked until one is heard of")
        self.knows_workers = False
        self.look_for_workers()

    def _send(self, message: Message) -> None:
        self._notices.publish(Topic.QUESTION, *pieces(message))
