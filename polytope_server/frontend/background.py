"""Work that takes the processor longer than other calls should wait: users take turns."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from contextvars import copy_context
from typing import TypeVar
from weakref import WeakValueDictionary

T = TypeVar("T")

#: Bytes that the jobs of a user, and of all users, hold while they run or wait.
_PER_USER, _TOTAL = 8 << 20, 128 << 20
#: Seconds that a job may take, most of them to wait for its turn; then it is refused.
_WAIT = 10.0
#: The pause after each job or step, as a multiple of the processor time that it took.
_PAUSE = 2.0


class BusyError(Exception):
    """Too many jobs run or wait, or one had no turn in time."""


class BackgroundWork:
    """Jobs in a thread, and steps of long answers in the event loop, one at a time.

    It is one at a time because Python code shares one interpreter lock: two jobs would end no earlier, and
    every other call would wait for both. After each comes a pause of twice the processor time that it took:
    two thirds of the time are left to other calls, whatever is sent. Of each user one job or step waits for
    its turn at a time, so that a user with one waits for no more than one of each other user.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.thread_time,
        call_later: Callable[[float, Callable[[], None]], object] | None = None,
    ) -> None:
        """`clock` gives the processor time of the calling thread; `call_later` is that of the event loop."""
        self._clock = clock
        self._call_later = call_later
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="requests")
        self._turn = asyncio.Lock()
        self._users: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._held: Counter[str] = Counter()
        #: Seconds that a job may take.
        self.wait = _WAIT

    async def run(self, user_id: str, work: Callable[[], T], size: int) -> T:
        """The result of `work`, done in the thread; its exceptions pass through.

        `size` is how many bytes it holds. Raises BusyError if jobs hold too many, and this is not the only
        one of its user, or if it is not done in time.
        """
        mine = self._held[user_id]
        if mine and (mine + size > _PER_USER or self._held.total() + size > _TOTAL):
            raise BusyError
        self._held[user_id] += size
        try:
            async with asyncio.timeout(self.wait), self._find_lock(user_id):
                await self._turn.acquire()
                return await self._run_in_thread(work)
        except TimeoutError:
            raise BusyError from None
        finally:
            self._held[user_id] -= size
            if not self._held[user_id]:
                del self._held[user_id]

    @asynccontextmanager
    async def step(self, user_id: str) -> AsyncIterator[None]:
        """A turn for a step of some milliseconds in the event loop."""
        async with self._find_lock(user_id):
            await self._turn.acquire()
            began = self._clock()
            try:
                yield
            finally:
                self._end_turn(self._clock() - began)

    def _find_lock(self, user_id: str) -> asyncio.Lock:
        return self._users.setdefault(user_id, asyncio.Lock())

    def _run_in_thread(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Do it in the thread. The turn ends with the work, also if its caller has gone."""
        loop = asyncio.get_running_loop()
        context = copy_context()
        took = 0.0

        def timed() -> T:
            nonlocal took
            began = self._clock()
            try:
                return context.run(work)
            finally:
                took = self._clock() - began

        def end(_: Future[T]) -> None:
            loop.call_soon_threadsafe(self._end_turn, took)

        done = self._thread.submit(timed)
        done.add_done_callback(end)
        return asyncio.wrap_future(done)

    def _end_turn(self, took: float) -> None:
        """Give the turn to the next job or step when the pause after this one is over."""
        call_later = self._call_later or asyncio.get_running_loop().call_later
        call_later(_PAUSE * took, self._turn.release)

    def close(self) -> None:
        """Take no more jobs; those that wait are dropped."""
        self._thread.shutdown(wait=False, cancel_futures=True)
