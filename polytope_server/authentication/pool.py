"""Threads for work that blocks, with a bound on how much of it may wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from polytope_server.authentication import AuthenticationUnavailableError

T = TypeVar("T")


class BoundedPool:
    """A few threads. Beyond so many calls at a time it refuses, rather than let everybody wait for ever."""

    def __init__(self, name: str, threads: int, limit: int) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._limit = limit
        self._calls = 0

    async def run(self, work: Callable[[], T]) -> T:
        """The result of `work`, run in a thread; its exceptions pass through.

        Raises :class:`AuthenticationUnavailableError` if too many calls run or wait already.
        """
        if self._calls >= self._limit:
            raise AuthenticationUnavailableError("Too many log-ins at a time, please try again later")
        self._calls += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, work)
        finally:
            self._calls -= 1

    def close(self) -> None:
        """Take no more calls; those that wait are dropped, those that run end by themselves."""
        self._executor.shutdown(wait=False, cancel_futures=True)
