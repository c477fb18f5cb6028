"""Threads for work that blocks, behind a fair queue with a bound on how much may wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from polytope_server.accounts.fair_queue import FairQueue

T = TypeVar("T")


class BoundedPool:
    """A few threads, granted to callers by a fair queue (:mod:`polytope_server.accounts.fair_queue`)."""

    def __init__(self, name: str, threads: int, limit: int) -> None:
        """Beyond `limit` calls at a time, calls of the flow with most in line are refused."""
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._queue = FairQueue(threads, limit)

    async def run(self, work: Callable[[], T]) -> T:
        """The result of `work`, run in a thread; its exceptions pass through.

        Raises :class:`AuthenticationUnavailableError` if too many calls run or wait.
        """
        async with self._queue.slot():
            return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    def close(self) -> None:
        """Refuse further calls. Calls that wait are dropped; calls that run end by themselves."""
        self._executor.shutdown(wait=False, cancel_futures=True)
