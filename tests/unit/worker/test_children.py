"""The child processes of a worker, for real: what they answer, and what becomes of them."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from polytope_server.datasource import DataSourceError, Job, TemporaryError
from polytope_server.testing.staging import breaking, chunked
from polytope_server.testing.waiting import until
from polytope_server.worker.assignment import Assignment
from polytope_server.worker.children import Child, Children
from polytope_server.worker.fork_server import ChildProcess, ForkServer
from polytope_server.worker.frames import MAX_DATA, Frame, header

SOURCES = [
    {"collection": "c", "name": "echo", "type": "echo", "settings": {}},
    {"collection": "c", "name": "dummy", "type": "dummy", "settings": {}},
    {"collection": "c", "name": "raise", "type": "raise", "settings": {"error_message": "no such thing"}},
    {"collection": "c", "name": "broken", "type": "no-such-type", "settings": {}},
]
CONFIG = {"sources": SOURCES, "coercion": {}, "logging": {}, "secrets": ["a secret of the configuration"]}


def job(
    source: str, text: str = "hello", verb: str = "retrieve", data: Any = None, **fields: Any
) -> Assignment:
    coerced = {"data": text if data is None else data}
    return Assignment("c", source, 2 << 30, Job("r", verb, text, coerced, "u", "x", **fields))


@pytest.fixture
async def child(fork_server: ForkServer) -> AsyncIterator[Child]:
    child = await Child.start(CONFIG, fork_server)
    yield child
    await child.kill()


async def outcome(child: Child, *arguments: Any) -> tuple[str, bytes]:
    content_type, chunks = await child.run(*arguments)
    return content_type, b"".join([chunk async for chunk in chunks])


async def test_a_child_does_one_job_after_the_other(child: Child) -> None:
    assert await outcome(child, job("echo", "a: 1\n")) == ("application/octet-stream", b"a: 1\n")
    content_type, data = await outcome(child, job("dummy", data=3_000_000))
    assert (content_type, data) == ("application/x-grib", b"x" * 3_000_000)
    assert child.usable


async def test_a_child_that_hangs_in_the_kernel_keeps_nobody_waiting(
    fork_server: ForkServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    child = await Child.start(CONFIG, fork_server)
    monkeypatch.setattr("polytope_server.worker.children._LAST_WORDS", 0.01)
    monkeypatch.setattr(ChildProcess, "kill", lambda process: os.kill(process.pid, signal.SIGSTOP))
    await child.kill()
    assert "does not end" in caplog.text
    monkeypatch.undo()
    await child.kill()


async def test_the_failure_of_a_data_source_is_for_the_user(child: Child) -> None:
    with pytest.raises(DataSourceError, match="no such thing"):
        await child.run(job("raise"))
    assert child.usable


async def test_what_the_user_is_told_holds_no_secret(
    fork_server: ForkServer, capfd: pytest.CaptureFixture[str]
) -> None:
    key = "the key of a user"
    message = f"refused {key}, a secret of the configuration, token=abc"
    sources = [{**SOURCES[2], "settings": {"error_message": message}}]
    child = await Child.start({**CONFIG, "sources": sources}, fork_server)
    with pytest.raises(DataSourceError) as caught:
        await child.run(job("raise", attributes={"k": key}))
    assert str(caught.value) == "refused ***, ***, token=***"
    # Of the next user, it is a word as any other.
    with pytest.raises(DataSourceError) as caught:
        await child.run(job("raise"))
    assert str(caught.value) == f"refused {key}, ***, token=***"
    await child.kill()
    assert key not in capfd.readouterr().err


async def test_what_a_data_source_says_is_bounded(fork_server: ForkServer) -> None:
    sources = [{**SOURCES[2], "settings": {"error_message": "no " * 1_000_000}}]
    child = await Child.start({**CONFIG, "sources": sources}, fork_server)
    with pytest.raises(DataSourceError) as caught:
        await child.run(job("raise"))
    assert len(str(caught.value)) == 10_000
    await child.kill()


async def test_a_frame_that_is_too_large_is_not_read() -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(header(Frame.DATA, MAX_DATA + 1))
    process: Any = SimpleNamespace(returncode=None)
    writer: Any = SimpleNamespace(write=lambda data: None)
    child = Child(process, reader, writer)
    with pytest.raises(TemporaryError, match="ended unexpectedly"):
        await child.run(job("echo"))
    assert not child.usable


async def test_a_data_source_that_cannot_be_made_fails_only_its_own_requests(child: Child) -> None:
    with pytest.raises(TemporaryError, match="not available"):
        await child.run(job("broken"))
    assert (await outcome(child, job("echo")))[1] == b"hello"


async def test_an_archive_takes_its_input(child: Child) -> None:
    _, data = await outcome(child, job("echo", verb="archive"), chunked([b"x" * 1_000_000] * 5))
    assert data == b""
    assert child.usable


async def test_input_for_a_data_source_that_refuses_is_dropped(child: Child) -> None:
    with pytest.raises(DataSourceError):
        await outcome(child, job("dummy", verb="archive"), chunked([b"x" * 1_000_000] * 20))
    assert (await outcome(child, job("echo")))[1] == b"hello"


async def test_a_child_whose_input_broke_off_is_not_used_again(child: Child) -> None:
    with pytest.raises(RuntimeError, match="broken off"):
        await child.run(job("echo", verb="archive"), breaking([b"x"]))
    assert not child.usable


async def test_a_child_whose_result_was_not_read_is_not_used_again(child: Child) -> None:
    _, chunks = await child.run(job("dummy", data=10_000_000))
    await anext(chunks)
    assert not child.usable


async def test_the_death_of_a_child_is_a_failed_attempt(child: Child) -> None:
    _, chunks = await child.run(job("dummy", data=50_000_000))
    os.kill(child.pid, signal.SIGKILL)
    with pytest.raises(TemporaryError, match="ended unexpectedly"):
        async for _ in chunks:
            pass
    assert not child.usable


async def test_a_child_does_not_read_ahead_of_its_worker(child: Child) -> None:
    """A gigabyte is asked for and not read: the child waits, it does not fill the memory."""
    _, chunks = await child.run(job("dummy", data=1 << 30))
    await anext(chunks)
    status = Path(f"/proc/{child.pid}/status").read_text()
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    assert peak < 200_000


async def test_children_are_kept_and_replaced(fork_server: ForkServer) -> None:
    ready: list[None] = []
    children = Children(2, CONFIG, fork_server)
    children.start(lambda: ready.append(None))
    await until(lambda: len(ready) == 2)
    first = await children.take()
    await outcome(first, job("echo"))
    await children.give_back(first)
    assert len(ready) == 3
    second = await children.take()
    await second.kill()
    await children.give_back(second)
    await until(lambda: len(ready) == 4)
    alive = [await children.take(), await children.take()]
    assert all(child.usable for child in alive)
    assert second not in alive
    for child in alive:
        await children.give_back(child)
    await children.close()
    assert not any(child.usable for child in alive)


async def test_a_child_that_died_while_idle_is_passed_over(fork_server: ForkServer) -> None:
    ready: list[None] = []
    children = Children(1, CONFIG, fork_server)
    children.start(lambda: ready.append(None))
    await until(lambda: ready)
    idle = await children.take()
    await children.give_back(idle)
    await idle.kill()
    fresh = await children.take()
    assert (await outcome(fresh, job("echo")))[1] == b"hello"
    assert len(ready) == 2  # the place of the dead one was not announced as a further one
    await children.close()
