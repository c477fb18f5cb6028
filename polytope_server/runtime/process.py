"""The life of a process: limits, back-ends, signals, and its end."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, Protocol, runtime_checkable

from polytope_server.back_off import BackOff
from polytope_server.runtime.unavailable import UnavailableError
from polytope_server.runtime.waiting import wait_at_most

logger = logging.getLogger(__name__)

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
#: Exit status of a process that must not work on a store: restarting it is of no use.
INCOMPATIBLE = os.EX_CONFIG
#: Enough for any process here; some programs close every descriptor up to the limit, which takes time.
_DESCRIPTORS = 65_536
#: Seconds after which a thread with work in Python gives way to another. Python's own 5 ms would be added to
#: each row that a call reads from SQLite meanwhile, and to each step of the thread that renews a lease.
_THREAD_SWITCH = 0.0002


def leave_no_core() -> None:
    """Let neither this process nor those that it starts leave a core file, which would contain passwords."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def shorten_thread_switches() -> None:
    """Let no thread of this process hold up its event loops for long."""
    sys.setswitchinterval(_THREAD_SWITCH)


def die_with_parent(parent: int) -> None:
    """End this process by SIGKILL as soon as the process `parent`, which started it, has ended.

    On Linux the kernel does so; elsewhere a thread checks twice a second.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    else:  # pragma: no cover -- the tests run on Linux
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    if os.getppid() != parent:  # it ended before the line above
        os._exit(1)


def adopt_orphans() -> None:
    """Become the parent of processes below this one whose own parent ends, to be waited for. Linux only.

    In a container the first process would get them, and may never ask how they ended.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def raise_descriptor_limit() -> None:
    """Let this process, and those that it starts, open as many files and sockets as the system allows.

    The usual limit of 1024 is for programs that call select(), which none here does.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _watch(parent: int) -> None:  # pragma: no cover -- the tests run on Linux
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


class Part(Protocol):
    """A back-end, which is opened and closed."""

    async def open(self) -> None:
        """Connect."""

    async def close(self) -> None:
        """Disconnect."""


@runtime_checkable
class HasWork(Protocol):
    """A part that works in the background while it is open."""

    def while_open(self) -> AbstractAsyncContextManager[None]:
        """The context of that work."""


@asynccontextmanager
async def opened(parts: Sequence[Part], stop: asyncio.Event) -> AsyncIterator[bool]:
    """Open the back-ends one after the other, and close them at the end.

    One that is unreachable is retried with back-off; yields False if `stop` was set before all were open.
    The background work of a part runs while it is open.
    """
    async with AsyncExitStack() as stack:
        for part in parts:
            if not await _open(part, stop):
                yield False
                return
            stack.push_async_callback(part.close)
            if isinstance(part, HasWork):
                await stack.enter_async_context(part.while_open())
        yield True


async def _open(part: Part, stop: asyncio.Event) -> bool:
    back_off = BackOff(_FIRST_PAUSE, _LONGEST_PAUSE)
    while not stop.is_set():
        try:
            await part.open()
            return True
        except UnavailableError as error:
            logger.warning("%s; trying again", error)
        await wait_at_most(back_off.failed(), stop)
    return False


def before_stop(release: Callable[[], None]) -> None:
    """Have `release` called on SIGINT or SIGTERM, before their present handlers."""
    for number in (signal.SIGTERM, signal.SIGINT):
        previous = signal.getsignal(number)
        if not callable(previous):
            continue

        def handle(received: int, frame: Any, previous: Callable[..., Any] = previous) -> None:
            release()
            previous(received, frame)

        signal.signal(number, handle)


async def serve_until(end: Coroutine[Any, Any, object], *tasks: asyncio.Task[None]) -> None:
    """Run `tasks` until `end` is done, then cancel them.

    A task that ends by itself, which none should, ends the process with its error, so that its supervisor
    restarts it: a process that goes on with a part of its work would look alive.
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

    shorten_thread_switches()

    async def main() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await serve(stop)

    uvloop.run(main())
