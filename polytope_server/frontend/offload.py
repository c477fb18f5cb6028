"""What takes the processor longer than other calls should wait: it leaves the event loop."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar
from weakref import WeakValueDictionary

T = TypeVar("T")

#: Bytes that the jobs of a user, and of all users, hold while they run or wait.
_PER_USER, _TOTAL = 8 << 20, 128 << 20
#: Seconds that a job may take, most of them to wait for its turn; then it is refused.
_WAIT = 10.0


class BusyError(Exception):
    """Too many jobs run or wait, or one had no turn in time."""


class Offload:
    """One thread, at which users take turns.

    It is one, because jobs of Python code share one interpreter lock: two would end no earlier, and the event
    loop would wait for both. After each job the thread rests for as much time as that took of the processor,
    so that the loop has the lock for half of the time, whatever is sent. Of each user one job is handed over
    at a time, so that somebody with one job waits for no more than one job of each other user.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.thread_time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`clock` tells the processor time of the calling thread."""
        self._clock, self._sleep = clock, sleep
        self._rest = 0.0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="requests")
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._held: Counter[str] = Counter()
        #: Seconds that a job may take.
        self.wait = _WAIT

    async def run(self, user_id: str, work: Callable[[], T], size: int) -> T:
        """The result of `work`, done in the thread; its exceptions pass through.

        `size` is how many bytes it holds. BusyError if jobs hold too many, which refuses nobody's only job,
        or if it is not done in time.
        """
        mine = self._held[user_id]
        if mine and (mine + size > _PER_USER or self._held.total() + size > _TOTAL):
            raise BusyError
        self._held[user_id] += size
        try:
            async with asyncio.timeout(self.wait), self._turns.setdefault(user_id, asyncio.Lock()):
                context = copy_context()
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(self._thread, context.run, self._do, work)
        except TimeoutError:
            raise BusyError from None
        finally:
            self._held[user_id] -= size
            if not self._held[user_id]:
                del self._held[user_id]

    def _do(self, work: Callable[[], T]) -> T:
        # The rest of the job before: its caller has its answer.
        self._sleep(self._rest)
        began = self._clock()
        try:
            return work()
        finally:
            self._rest = self._clock() - began

    def close(self) -> None:
        """Take no more jobs; those that wait are dropped."""
        self._thread.shutdown(wait=False, cancel_futures=True)
