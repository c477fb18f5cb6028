"""The side of a worker: it offers to answer when it has room, and answers what it is then asked."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

from polytope_server.caching import JSON
from polytope_server.notices import Notice, Notices, Topic
from polytope_server.questions.messages import EVERYONE, Inbox, Message, MessageKind, TooLargeError, pieces

logger = logging.getLogger(__name__)

#: The longest time for a question, whatever is said with it.
_LONGEST = 60.0


class Responder:
    """Answers questions of frontends."""

    def __init__(
        self,
        notices: Notices,
        delay: Callable[[JSON], float | None],
        answer: Callable[[JSON, float], Awaitable[JSON]],
    ) -> None:
        """`receive` is to get the notices of the topic QUESTION.

        `delay` is asked what a frontend tells of its question, and says after how many seconds this worker
        offers to answer: the busier, the later; None: not at all. `answer` gets the question and the seconds
        for it. Its answer None stands for none; so does what it raises.
        """
        self.name = uuid4().hex[:16]
        self._notices = notices
        self._delay = delay
        self._answer = answer
        self._inbox = Inbox(self.name)
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def start(self) -> None:
        """Tell all frontends that this worker is there."""
        self._send(Message(MessageKind.OFFER, EVERYONE, self.name))

    async def close(self) -> None:
        """Offer nothing more, and end what is being answered."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def receive(self, notice: Notice) -> None:
        """Take a notice of the topic QUESTION."""
        message = None if self._closed else self._inbox.add(notice.request_id)
        if message is None:
            return
        if message.kind is MessageKind.WHO:
            self._send(Message(MessageKind.OFFER, message.sender, self.name))
        elif message.kind is MessageKind.CALL:
            self._consider(message)
        elif message.kind is MessageKind.QUESTION:
            task = asyncio.create_task(self._answer_message(message))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _consider(self, call: Message) -> None:
        delay = self._delay(call.body)
        offer = Message(MessageKind.OFFER, call.sender, self.name, call.question)
        if delay == 0:
            self._send(offer)
        elif delay is not None:
            asyncio.get_running_loop().call_later(delay, self._send, offer)

    async def _answer_message(self, message: Message) -> None:
        body: Any = message.body
        answer: JSON = None
        try:
            question, seconds = body["question"], min(float(body["seconds"]), _LONGEST)
            async with asyncio.timeout(seconds):
                answer = await self._answer(question, seconds)
        except TimeoutError:
            return  # who asked does not wait any more
        except Exception:  # the frontend must not wait for an answer that does not come
            logger.exception("a question could not be answered")
        self._send(Message(MessageKind.ANSWER, message.sender, self.name, message.question, answer))

    def _send(self, message: Message) -> None:
        if self._closed:
            return
        try:
            texts = pieces(message)
        except TooLargeError as error:
            logger.error("an answer is too large: %s", error)
            texts = pieces(Message(message.kind, message.to, self.name, message.question))
        self._notices.publish(Topic.ANSWER, *texts)
