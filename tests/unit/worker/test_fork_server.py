"""The process that forks the children of a worker, for real: its children, their ends, and its own end."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
import socket
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack

import psutil
import pytest

from polytope_server.testing.waiting import until
from polytope_server.worker.fork_server import ChildProcess, ForkServer, serve

FORK, STARTED = struct.pack("!Bi", 1, 0), b"\1"


@pytest.fixture
async def end() -> AsyncIterator[socket.socket]:
    """The worker's end of the socket of a child, which ends when this is closed."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield theirs


def parent_of(child: ChildProcess) -> psutil.Process:
    found = psutil.Process(child.pid).parent()
    assert found is not None
    return found


async def test_a_child_is_a_process_of_its_own(fork_server: ForkServer, end: socket.socket) -> None:
    child = await fork_server.start(end)
    assert child.returncode is None
    process = psutil.Process(child.pid)
    await until(lambda: process.cmdline()[0].strip() == "polytope-server data source")
    assert os.getsid(child.pid) == child.pid  # Ctrl-C at the worker's terminal does not reach it
    assert os.readlink(f"/proc/{child.pid}/fd/1") == "/dev/null"


@pytest.fixture
def many_files() -> Iterator[None]:
    """More open files than select() knows."""
    with ExitStack() as stack:
        for _ in range(1100):
            stack.enter_context(open(os.devnull))
        yield


@pytest.mark.usefixtures("many_files")
async def test_a_worker_may_have_many_files_open(fork_server: ForkServer, end: socket.socket) -> None:
    child = await fork_server.start(end)
    assert child.returncode is None


async def test_children_have_one_parent(fork_server: ForkServer, end: socket.socket) -> None:
    children = await asyncio.gather(*(fork_server.start(end) for _ in range(3)))
    assert len({child.pid for child in children}) == 3
    assert len({parent_of(child) for child in children}) == 1


async def test_it_says_how_a_child_ended(fork_server: ForkServer, end: socket.socket) -> None:
    killed, terminated = [await fork_server.start(end) for _ in range(2)]
    killed.kill()
    assert await killed.wait() == killed.returncode == -signal.SIGKILL
    os.kill(terminated.pid, signal.SIGTERM)
    assert await terminated.wait() == -signal.SIGTERM
    killed.kill()  # must not end another process that has the id by now
    assert (await fork_server.start(end)).returncode is None


async def test_a_child_ends_when_its_worker_closes_its_socket(fork_server: ForkServer) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        child = await fork_server.start(theirs)
    ours.close()
    assert await child.wait() == 0


async def test_nothing_is_left_when_it_is_closed(fork_server: ForkServer, end: socket.socket) -> None:
    child = await fork_server.start(end)
    processes = [parent_of(child), psutil.Process(child.pid)]
    await fork_server.close()
    assert not psutil.wait_procs(processes, timeout=10)[1]


async def test_the_end_of_the_process_is_the_end_of_its_children_and_another_takes_its_place(
    fork_server: ForkServer, end: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    child = await fork_server.start(end)
    process = psutil.Process(child.pid)
    parent_of(child).kill()
    assert await child.wait() == -signal.SIGKILL
    assert not psutil.wait_procs([process], timeout=10)[1]
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert (await fork_server.start(end)).returncode is None


async def test_who_asks_while_it_ends_is_refused(fork_server: ForkServer, end: socket.socket) -> None:
    child = await fork_server.start(end)
    os.kill(parent_of(child).pid, signal.SIGSTOP)
    asking = asyncio.create_task(fork_server.start(end))
    await asyncio.sleep(0)
    parent_of(child).kill()
    with pytest.raises(ConnectionResetError):
        await asking


async def test_a_child_that_is_not_wanted_any_more_is_ended(
    fork_server: ForkServer, end: socket.socket
) -> None:
    server = parent_of(await fork_server.start(end))
    asking = asyncio.create_task(fork_server.start(end))
    await asyncio.sleep(0)
    asking.cancel()
    await until(lambda: len(server.children()) == 1)


def test_a_process_without_room_for_another_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> int:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(os, "fork", fail)
    ours, theirs = socket.socketpair()
    with ours, open(os.devnull) as file:
        socket.send_fds(ours, [FORK], [file.fileno()])
        ours.shutdown(socket.SHUT_WR)
        assert serve(theirs) == 0
        assert ours.recv(100) == STARTED + struct.pack("!ii", -errno.EAGAIN, 0)
