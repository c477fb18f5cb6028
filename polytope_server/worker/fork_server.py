"""Starts the child processes of a worker: forks of a process that has imported the server, and nothing else.

A new interpreter would take a quarter of a second of processor time for each child. The worker itself cannot
fork: it has threads, which do not survive. So a second process is forked before the first thread starts. It
loads no native library and starts no thread; it forks when the worker asks, and reports which of its children
ended. Should it end itself, the kernel ends its children, and the worker starts another as a new program.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import struct
import sys
from collections import deque
from collections.abc import Awaitable, Iterator
from contextlib import suppress
from functools import partial

from polytope_server.runtime.forking import Signals, become
from polytope_server.runtime.process import adopt_orphans
from polytope_server.worker import child

logger = logging.getLogger(__name__)

#: What the worker asks for: FORK (with the child's end of its socket), or KILL and a process id.
_REQUEST = struct.Struct("!Bi")
_FORK, _KILL = 1, 2
#: What it is answered: STARTED and a process id (or minus an errno), in the order of the requests; ENDED, a
#: process id and the exit status (negative: a signal).
_REPORT = struct.Struct("!Bii")
_STARTED, _ENDED = 1, 2
_TITLE = "polytope-server data source"
#: Seconds for this process to end by itself.
_LAST_WORDS = 2.0


class ChildProcess:
    """A child that was started: what the worker needs to know of the process."""

    def __init__(self, pid: int, server: ForkServer) -> None:
        self.pid = pid
        self._server = server
        self._ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    @property
    def returncode(self) -> int | None:
        """The exit status (negative: a signal), None while it runs."""
        return self._ended.result() if self._ended.done() else None

    async def wait(self) -> int:
        """Wait for its end; returns the exit status."""
        return await asyncio.shield(self._ended)

    def kill(self) -> None:
        """End it at once; no effect on one that has ended."""
        self._server.kill(self.pid)

    def end(self, status: int) -> None:
        """Note that it has ended."""
        if not self._ended.done():
            self._ended.set_result(status)


class ForkServer:
    """The worker's side of the process that forks its children."""

    def __init__(self) -> None:
        self._connection: socket.socket | None = None
        #: The process: forked of this one, or a program.
        self._forked: int | None = None
        self._program: asyncio.subprocess.Process | None = None
        self._connecting = asyncio.Lock()
        self._reads = False
        self._received = b""
        self._asked: deque[asyncio.Future[ChildProcess]] = deque()
        self._children: dict[int, ChildProcess] = {}

    def fork(self) -> None:
        """Start it as a fork of this process, which must not have started a thread yet."""
        ours, theirs = socket.socketpair()
        worker = os.getpid()
        # Both have what is there now for good: no garbage collection writes to the pages that they share.
        gc.collect()
        gc.freeze()
        self._forked = os.fork()
        if self._forked == 0:
            ours.close()
            become("polytope-server fork server", worker, partial(serve, theirs))
        theirs.close()
        self._connection = ours

    async def start(self, end: socket.socket) -> ChildProcess:
        """Start a child, which gets `end` of its socket. Raises OSError, if there is no room for another."""
        async with self._connecting:
            connection = await self._connect()
        socket.send_fds(connection, [_REQUEST.pack(_FORK, 0)], [end.fileno()])
        asked: asyncio.Future[ChildProcess] = asyncio.get_running_loop().create_future()
        self._asked.append(asked)
        return await asked

    async def _connect(self) -> socket.socket:
        """The connection to the process, which is started unless it runs, and whose reports are read."""
        connection = self._connection or await self._spawn()
        if not self._reads:
            connection.setblocking(False)
            asyncio.get_running_loop().add_reader(connection.fileno(), self._read_reports, connection)
        self._connection, self._reads = connection, True
        return connection

    async def _spawn(self) -> socket.socket:
        """Start it as a new program, which may be done at any time."""
        ours, theirs = socket.socketpair()
        with theirs:
            self._program = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", __name__, str(theirs.fileno()), str(os.getpid())),
                pass_fds=[theirs.fileno()],
                stdin=asyncio.subprocess.DEVNULL,
            )
        return ours

    def kill(self, pid: int) -> None:
        """End a child by SIGKILL. One that has ended is not: only its parent knows whose id that is now."""
        if self._connection is not None and pid in self._children:
            with suppress(OSError):
                self._connection.send(_REQUEST.pack(_KILL, pid))

    def _read_reports(self, connection: socket.socket) -> None:
        try:
            data = connection.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lose()
            return
        self._received += data
        whole = len(self._received) // _REPORT.size * _REPORT.size
        for kind, pid, status in _REPORT.iter_unpack(self._received[:whole]):
            if kind == _STARTED:
                self._note_start(pid)
            elif gone := self._children.pop(pid, None):
                gone.end(status)
        self._received = self._received[whole:]

    def _note_start(self, pid: int) -> None:
        asked = self._asked.popleft()
        if pid < 0:
            error = OSError(-pid, os.strerror(-pid))
            if not asked.done():
                asked.set_exception(error)
            return
        self._children[pid] = child_process = ChildProcess(pid, self)
        if asked.done():  # given up meanwhile
            self.kill(pid)
        else:
            asked.set_result(child_process)

    def _lose(self) -> None:
        """It has ended, and its children with it."""
        logger.error("the process that starts children of this worker has ended; another one is started")
        self._disconnect()
        for asked in self._asked:
            if not asked.done():
                asked.set_exception(ConnectionResetError("the fork server has ended"))
        self._asked.clear()
        for gone in self._children.values():
            gone.end(-signal.SIGKILL)
        self._children.clear()

    def _disconnect(self) -> None:
        if self._connection is not None:
            if self._reads:
                asyncio.get_running_loop().remove_reader(self._connection.fileno())
            self._connection.close()
        self._connection, self._reads, self._received = None, False, b""

    async def close(self) -> None:
        """Have it end, and those of its children that still run."""
        self._disconnect()
        for pid, wait in self._waits():
            try:
                async with asyncio.timeout(_LAST_WORDS):
                    await wait
            except TimeoutError:
                os.kill(pid, signal.SIGKILL)

    def _waits(self) -> Iterator[tuple[int, Awaitable[object]]]:
        if self._forked is not None:
            yield self._forked, asyncio.to_thread(os.waitpid, self._forked, 0)
        if self._program is not None:
            yield self._program.pid, self._program.wait()


def serve(connection: socket.socket) -> int:
    """Fork a child for each request, until the worker ends; returns the exit status."""
    adopt_orphans()
    with connection, Signals() as signals:
        # What tells this process to stop is the end of the worker alone, which lets its requests end first.
        children: set[int] = set()
        while True:
            ready = signals.wait(None, connection)
            _report_ended(connection, children)
            if not ready:
                continue
            try:
                data, descriptors, _, _ = socket.recv_fds(connection, _REQUEST.size, 1)
            except ConnectionError:
                return 0
            if len(data) < _REQUEST.size:
                return 0
            kind, pid = _REQUEST.unpack(data)
            if kind == _FORK:
                _fork_child(connection, descriptors[0], signals, children)
            elif pid in children:
                os.kill(pid, signal.SIGKILL)


def _report_ended(connection: socket.socket, children: set[int]) -> None:
    with suppress(ChildProcessError):  # there is none any more
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            pid, status = ended
            if pid in children:  # else one that a child had started
                children.remove(pid)
                _report(connection, _ENDED, pid, os.waitstatus_to_exitcode(status))


def _report(connection: socket.socket, kind: int, pid: int, status: int = 0) -> None:
    with suppress(ConnectionError):  # the worker has ended, which the next read shows
        connection.sendall(_REPORT.pack(kind, pid, status))


def _fork_child(connection: socket.socket, end: int, signals: Signals, children: set[int]) -> None:
    server = os.getpid()
    with signals.held():
        try:
            pid = os.fork()
        except OSError as error:  # out of memory or of processes, for now
            _report(connection, _STARTED, -(error.errno or 1))
            os.close(end)
            return
        if pid == 0:
            signals.forget()
            connection.close()
            become(_TITLE, server, partial(_run_child, end))
    os.close(end)
    children.add(pid)
    _report(connection, _STARTED, pid)


def _run_child(end: int) -> int:
    # Native libraries print; the standard output of a data source is not read.
    with open(os.devnull, "wb") as nothing:
        os.dup2(nothing.fileno(), 1)
    child.serve(socket.socket(fileno=end))
    return 0


def main(arguments: list[str]) -> None:
    """Serve the socket whose file descriptor is the first argument; the second is the worker's pid."""
    connection = socket.socket(fileno=int(arguments[0]))
    become("polytope-server fork server", int(arguments[1]), partial(serve, connection))


if __name__ == "__main__":
    main(sys.argv[1:])
