"""What a data source says to the user while it works, and what stays of it with the result."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

from polytope_server.request import Request, Status
from polytope_server.request_store import RequestStore, StoreUnavailableError

logger = logging.getLogger(__name__)

#: Seconds until the first text is stored: most requests have ended by then, and need no further write.
_DELAY = 0.2
#: Seconds between two writes of one request.
_INTERVAL = 1.0
#: Notes of one request, and characters of each text.
_MOST_NOTES, _LONGEST = 20, 500


class Report:
    """The notes and the progress of one attempt, stored at a bounded rate as the message of its request."""

    def __init__(self, store: RequestStore, request: Request) -> None:
        self._store = store
        self._request = request
        self._notes: list[str] = []
        self._progress = ""
        self._changed = asyncio.Event()
        self._ended = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def notes(self) -> str:
        """The lines that stay when the request has been processed."""
        return "\n".join(self._notes)

    def note(self, text: str) -> None:
        """Add a sentence that stays. What comes twice, or beyond the bounds, is left out."""
        text = text[:_LONGEST]
        if text not in self._notes and len(self._notes) < _MOST_NOTES:
            self._notes.append(text)
            self._note_change()

    def progress(self, text: str) -> None:
        """Say what is done now, in place of what was said before."""
        self._progress = text[:_LONGEST]
        self._note_change()

    async def close(self) -> None:
        """Store nothing more; a write that is under way is waited for."""
        self._ended.set()
        self._changed.set()
        if self._task is not None:
            await self._task

    def _note_change(self) -> None:
        self._changed.set()
        if self._task is None:
            self._task = asyncio.create_task(self._store_changes())

    async def _store_changes(self) -> None:
        pause = _DELAY
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._ended.wait()
            await self._changed.wait()
            if self._ended.is_set():
                return
            self._changed.clear()
            await self._store_message()
            pause = _INTERVAL

    async def _store_message(self) -> None:
        request, message = self._request, "\n".join(filter(None, [self._progress, self.notes]))
        try:
            await self._store.transition(
                *(request.id, Status.PROCESSING, request.attempt, Status.PROCESSING), user_message=message
            )
        except StoreUnavailableError as error:
            logger.debug("the progress is not stored: %s", error)
