"""Threads for work that blocks, with turns, and a bound on how much of it may wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from polytope_server.accounts.fair_queue import Turns

T = TypeVar("T")


class BoundedPool:
    """A few threads, at which callers take turns (:mod:`polytope_server.accounts.fair_queue`)."""

    def __init__(self, name: str, threads: int, limit: int) -> None:
        """Beyond `limit` calls at a time, those of whom most wait are refused."""
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._turns = Turns(threads, limit)

    async def run(self, work: Callable[[], T]) -> T:
        """The result of `work`, run in a thread; its exceptions pass through.

        Raises :class:`AuthenticationUnavailableError` if too many calls run or wait.
        """
        async with self._turns.turn():
            return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    def close(self) -> None:
        """Take no more calls; those that wait are dropped, those that run end by themselves."""
        self._executor.shutdown(wait=False, cancel_futures=True)
