"""SQLite as the embedded database of several processes: quick reads, durable writes in groups.

Reads run in the event loop, on a connection of their own: in WAL mode they never wait for a writer.
Writes of a process run in one thread, which commits everything that came in meanwhile as one transaction
(group commit), so that the cost of making it durable is shared. Writers of several processes take turns
by a lock on a file: SQLite alone would make them poll, with sleeps of many milliseconds.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from queue import SimpleQueue
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator

T = TypeVar("T")
_Job = tuple[Callable[[sqlite3.Connection], Any], "Future[Any]"]

#: So many writes at most share one transaction; bounds the time that the first of them waits.
_GROUP = 512


class DatabaseUnavailableError(RuntimeError):
    """The database cannot be read or written at the moment (full disk, missing rights, damaged file)."""


class SQLSettings(BaseModel):
    """Keys of every back-end of type `sql`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    url: str | None = Field(
        None, description="`sqlite:///PATH`; by default the file polytope.sqlite in the data folder."
    )

    @field_validator("url")
    @classmethod
    def _only_sqlite(cls, url: str | None) -> str | None:
        if url is not None and not (url.startswith("sqlite:///") and len(url) > len("sqlite:///")):
            raise ValueError("the address of an SQLite file is written sqlite:///PATH")
        return url


class Database:
    """One SQLite file, shared by everything in this process that keeps something there."""

    _instances: ClassVar[dict[Path, Database]] = {}

    def __init__(self, path: Path) -> None:
        self._path = path
        self._users = 0
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._reader: sqlite3.Connection | None = None

    @classmethod
    def at(cls, url: str | None, data: Path) -> Database:
        """The database of `url` (`sqlite:///PATH`), by default `polytope.sqlite` in the folder `data`."""
        path = Path(url.removeprefix("sqlite:///")) if url else data / "polytope.sqlite"
        path = path.resolve()
        return cls._instances.setdefault(path, cls(path))

    async def open(self, schema: str) -> None:
        """Connect, and run the statements of `schema`, which must be idempotent.

        May be called by several users of the database; each calls :meth:`close` in the end. Raises
        :class:`DatabaseUnavailableError`.
        """
        if self._reader is None:
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                self._reader = self._connect()
            except (OSError, sqlite3.Error) as error:
                raise DatabaseUnavailableError(f"cannot open the database {self._path}: {error}") from error
            self._thread = threading.Thread(target=self._run, name=f"sql {self._path.name}", daemon=True)
            self._thread.start()
        self._users += 1

        def create(connection: sqlite3.Connection) -> None:
            for statement in schema.split(";"):
                if statement.strip():
                    connection.execute(statement)

        await self.write(create)

    async def close(self) -> None:
        """Finish pending writes and disconnect, when the last user closes."""
        self._users -= 1
        if self._users > 0 or self._thread is None or self._reader is None:
            return
        thread, self._thread = self._thread, None
        self._jobs.put(None)
        await asyncio.to_thread(thread.join)
        self._reader.close()
        self._reader = None

    def read(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[sqlite3.Row]:
        """The rows of a short, indexed query; blocks the caller for as long as it takes."""
        if self._reader is None:
            raise DatabaseUnavailableError(f"the database {self._path} is not open")
        try:
            return self._reader.execute(sql, parameters or {}).fetchall()
        except sqlite3.Error as error:
            raise DatabaseUnavailableError(f"cannot read the database {self._path}: {error}") from error

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` in the writer's thread, within a transaction; its result once that is durable.

        Should another piece of work in the same group fail, `work` is rolled back and run again, so it
        must do nothing but use the connection.
        """
        future: Future[T] = Future()
        self._jobs.put((work, future))
        return await asyncio.wrap_future(future)

    # -- the writer's thread -------------------------------------------------------------------------

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=30)
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode=WAL")
        # A commit is on disk when it returns: an accepted request survives a power cut.
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        return connection

    def _run(self) -> None:
        try:
            connection = self._connect()
            lock = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except (OSError, sqlite3.Error) as error:
            self._refuse(error)
            return
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
                try:
                    self._commit(connection, lock, group)
                except (OSError, sqlite3.Error) as error:  # the lock, or a rollback that failed
                    connection.close()
                    connection = self._connect()
                    _settle(group, [DatabaseUnavailableError(f"cannot write: {error}")] * len(group))
        connection.close()
        os.close(lock)

    def _refuse(self, error: Exception) -> None:
        while (job := self._jobs.get()) is not None:
            job[1].set_exception(DatabaseUnavailableError(f"cannot write {self._path}: {error}"))

    def _commit(self, connection: sqlite3.Connection, lock: int, group: list[_Job]) -> None:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            outcomes = self._transaction(connection, group)
            if outcomes is None:  # something failed: each on its own, so that it harms nobody else
                outcomes = []
                for job in group:
                    outcomes += self._transaction(connection, [job], alone=True) or []
        finally:
            fcntl.flock(lock, fcntl.LOCK_UN)
        _settle(group, outcomes)

    @staticmethod
    def _transaction(
        connection: sqlite3.Connection, group: list[_Job], alone: bool = False
    ) -> list[Any] | None:
        """The results of all the work, None (or the exception, if `alone`) when it was rolled back."""
        try:
            connection.execute("BEGIN IMMEDIATE")
            results = [work(connection) for work, _ in group]
            connection.execute("COMMIT")
        except Exception as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if not alone:
                return None
            if isinstance(error, sqlite3.Error) and not isinstance(error, sqlite3.IntegrityError):
                return [DatabaseUnavailableError(f"cannot write the database: {error}")]
            return [error]
        return results


def _settle(group: list[_Job], outcomes: list[Any]) -> None:
    """Tell those who wait; some may have gone."""
    for (_, future), outcome in zip(group, outcomes, strict=True):
        if future.done() or not future.set_running_or_notify_cancel():
            continue
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
