"""What the processes share: their life and their end."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int) -> None:
    """End this process by SIGKILL as soon as the process `parent`, which started it, has ended.

    On Linux the kernel sees to it; elsewhere a thread looks twice a second.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    else:  # pragma: no cover -- the tests run on Linux
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    if os.getppid() != parent:  # it ended before the line above
        os._exit(1)


def _watch(parent: int) -> None:  # pragma: no cover -- the tests run on Linux
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


async def serve_until(end: Coroutine[Any, Any, object], *tasks: asyncio.Task[None]) -> None:
    """Run `tasks` until `end` is done, then cancel them.

    A task that ends by itself, which none should, ends the process with its error: whoever supervises
    starts it anew, while a process that goes on with a part of its work would look alive.
    """
    ending = asyncio.create_task(end)
    try:
        await asyncio.wait([ending, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done():
                task.result()
                raise RuntimeError("a part of this process has ended")
        ending.result()
    finally:
        for other in (ending, *tasks):
            other.cancel()
        await asyncio.gather(ending, *tasks, return_exceptions=True)


def run(serve: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Run `serve` in an event loop, and set the event that it is given on SIGINT or SIGTERM."""
    import uvloop

    async def main() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await serve(stop)

    uvloop.run(main())
