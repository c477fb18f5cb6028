"""The writer of SQLite: one thread in each process, which commits what came in meanwhile as one transaction.

Writers of several processes take turns by `flock`, which the kernel hands on at once. That waits without end
for a process that hangs with the lock in its hands; so a caller waits for a write for a bounded time,
and the writer leaves out what no caller waits for any more.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue

from polytope_server.drivers.sql import (
    DatabaseUnavailableError,
    Outcome,
    Statement,
)
from polytope_server.drivers.sql.sqlite_errors import is_busy, translate

#: The most writes in one transaction; bounds the time that the first of them waits.
_GROUP = 512
#: The most writes that wait: a thread that hangs must not collect them without bound.
_MOST_WAITING = 4096
#: Seconds that the end of the thread is waited for.
_CLOSING_TIME = 10.0

_Outcomes = list[Outcome] | Exception


class _Job:
    """One transaction that is wanted, and who waits for it."""

    __slots__ = ("future", "statements")

    def __init__(self, statements: Sequence[Statement], future: asyncio.Future[list[Outcome]]) -> None:
        self.statements = statements
        self.future = future


class Writer:
    """Runs from its creation until it is closed."""

    def __init__(self, path: Path, connect: Callable[[], sqlite3.Connection]) -> None:
        self._path = path
        self._connect = connect
        self._loop = asyncio.get_running_loop()
        self._connection: sqlite3.Connection | None = None
        self._lock: int | None = None
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run_thread, name=f"sql {path.name}", daemon=True)
        self._thread.start()

    async def write(self, statements: Sequence[Statement], seconds: float) -> list[Outcome]:
        """Run statements as one transaction; their outcomes once they are durable.

        Waits for `seconds` at most. Raises DatabaseUnavailableError and UniqueViolationError.
        """
        if self._jobs.qsize() >= _MOST_WAITING:
            raise DatabaseUnavailableError(f"cannot write {self._path}: {_MOST_WAITING} writes wait already")
        job = _Job(statements, self._loop.create_future())
        self._jobs.put(job)
        try:
            async with asyncio.timeout(seconds):
                return await job.future
        except TimeoutError:
            raise DatabaseUnavailableError(
                f"cannot write {self._path} within {seconds:g} s: another process holds its lock, or the "
                "disk does not answer"
            ) from None
        finally:
            if job.future.cancelled():
                job.statements = ()  # it stays in the queue, without what takes room

    async def close(self) -> None:
        """Finish what waits. A thread that hangs is left alone: it ends with the process."""
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join, _CLOSING_TIME)

    # -- in the thread ---------------------------------------------------------------------------------

    def _run_thread(self) -> None:
        ending = False
        while not ending:
            job = self._jobs.get()
            group: list[_Job] = []
            while job is not None:
                group.append(job)
                if len(group) >= _GROUP or self._jobs.empty():
                    break
                job = self._jobs.get()
            ending = job is None
            if group:
                self._do(group)
        self._let_go()

    def _do(self, group: list[_Job]) -> None:
        begun: list[_Job] | None = None
        outcomes: Sequence[_Outcomes]
        try:
            connection, lock = self._opened()
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                begun = _begin(group)
                outcomes = self._commit(connection, begun)
            finally:
                fcntl.flock(lock, fcntl.LOCK_UN)
        except (OSError, sqlite3.Error) as error:  # no file, no lock, or a rollback that failed
            self._let_go()
            begun = _begin(group) if begun is None else begun
            outcomes = [translate(error, "write", self._path)] * len(begun)
        # PERF: to wake the event loop once costs a third of what a future for threads costs each job.
        with suppress(RuntimeError):  # it is closed
            self._loop.call_soon_threadsafe(_settle, begun, outcomes)

    def _opened(self) -> tuple[sqlite3.Connection, int]:
        if self._connection is None:
            self._connection = self._connect()
        if self._lock is None:
            self._lock = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return self._connection, self._lock

    def _let_go(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _commit(self, connection: sqlite3.Connection, group: list[_Job]) -> Sequence[_Outcomes]:
        outcomes = self._transaction(connection, group)
        if outcomes is not None:
            return outcomes
        # Something failed: each on its own, so that the others succeed.
        alone = [self._transaction(connection, [job], alone=True) or [] for job in group]
        return [outcome for found in alone for outcome in found]

    def _transaction(
        self, connection: sqlite3.Connection, group: list[_Job], alone: bool = False
    ) -> list[_Outcomes] | None:
        """What all the statements did, None (or the exception, if `alone`) when it was rolled back."""
        try:
            connection.execute("BEGIN IMMEDIATE")
            results: list[_Outcomes] = [
                [_outcome(connection.execute(*statement)) for statement in job.statements] for job in group
            ]
            connection.execute("COMMIT")
        except Exception as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if is_busy(error):  # another program writes without our lock: no use to wait again for each one
                return [translate(error, "write", self._path)] * len(group)
            return [translate(error, "write", self._path)] if alone else None
        return results


def _begin(group: list[_Job]) -> list[_Job]:
    """Those of the jobs whose caller still waits."""
    return [job for job in group if not job.future.cancelled()]


def _settle(group: list[_Job], outcomes: Sequence[_Outcomes]) -> None:
    for job, outcome in zip(group, outcomes, strict=True):
        if job.future.cancelled():
            continue
        if isinstance(outcome, Exception):
            job.future.set_exception(outcome)
        else:
            job.future.set_result(outcome)


def _outcome(cursor: sqlite3.Cursor) -> Outcome:
    # A statement has run, and its count is known, only when its rows were fetched.
    return Outcome(cursor.fetchall(), cursor.rowcount)
