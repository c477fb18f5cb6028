"""The life of a frontend process: its back-ends are opened together, and closed together."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress

from polytope_server.drivers.schema_version import IncompatibleSchemaError
from polytope_server.frontend.background import BackgroundWork
from polytope_server.frontend.download_marks import DownloadMarks
from polytope_server.frontend.questions import Questions
from polytope_server.frontend.waiters import Waiters
from polytope_server.notices import Notice, Notices, Topic
from polytope_server.runtime.management.health import Health
from polytope_server.runtime.process import Part, opened

logger = logging.getLogger(__name__)

#: A frontend that starts waits this long for its back-ends; then it serves without those that are missing.
_OPEN_TIME = 5.0
#: Seconds for the last note of what was downloaded, when a frontend ends.
_LAST_MARKS = 2.0


class Lifecycle:
    """Opens and closes the parts of a frontend."""

    def __init__(
        self,
        parts: Sequence[Part],
        notices: Notices,
        waiters: Waiters,
        questions: Questions,
        download_marks: DownloadMarks,
        background: BackgroundWork,
        health: Health,
    ) -> None:
        """`parts` are all back-ends, `notices` among them."""
        self._parts = parts
        self._notices = notices
        self._waiters = waiters
        self._questions = questions
        self._download_marks = download_marks
        self._background = background
        self._health = health
        self._stack = AsyncExitStack()
        self._stop = asyncio.Event()
        self._opening: asyncio.Task[None] | None = None
        self._marking: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Connect all back-ends, and listen to what ends.

        Returns after a while even if some cannot be reached: calls that need them are answered with an error
        until they can.
        """
        self._marking = asyncio.create_task(self._download_marks.run())
        self._opening = asyncio.create_task(self._connect_all())
        self._opening.add_done_callback(end_if_incompatible)
        await asyncio.wait([self._opening], timeout=_OPEN_TIME)
        if self._opening.done():
            self._opening.result()
        self._health.started = True

    async def _connect_all(self) -> None:
        # All at once: one that cannot be reached must not keep the others waiting.
        await asyncio.gather(*map(self._connect, self._parts))

    async def _connect(self, part: Part) -> None:
        ready = await self._stack.enter_async_context(opened([part], self._stop))
        if ready and part is self._notices:
            topics = {Topic.ENDED, Topic.REMOVED} | ({Topic.ANSWER} if self._questions.asks else set())
            await self._notices.subscribe(topics, self._on_notice)
            self._questions.start()

    def _on_notice(self, notice: Notice) -> None:
        if notice.topic is Topic.ANSWER:
            self._questions.on_notice(notice)
        else:
            self._waiters.on_notice(notice)

    async def close(self) -> None:
        """Disconnect all back-ends."""
        self._waiters.release()
        self._stop.set()
        if self._opening is not None:
            await asyncio.gather(self._opening, return_exceptions=True)
        if self._marking is not None:
            self._marking.cancel()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._download_marks.write(), _LAST_MARKS)
        await self._stack.aclose()
        self._background.close()


def end_if_incompatible(opening: asyncio.Task[None]) -> None:
    """End this process if it must not work on a store, also if it learns that late: it has begun to serve."""
    error = None if opening.cancelled() else opening.exception()
    if isinstance(error, IncompatibleSchemaError):
        logger.critical("%s", error)
        os.kill(os.getpid(), signal.SIGTERM)
