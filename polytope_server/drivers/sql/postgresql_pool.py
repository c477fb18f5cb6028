"""The connections of a process to one PostgreSQL database: psycopg's pool, but at once without a server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Self

import psycopg
from psycopg import IsolationLevel
from psycopg_pool import AsyncConnectionPool

from polytope_server.drivers.sql.postgresql_connection import Driver, is_alive

#: Connections of one process, and seconds that a call waits for one.
CONNECTIONS, TIME = 8, 5.0
# What it warns of (a connection that the server ended, one that it refused) reaches the caller as an error.
logging.getLogger("psycopg").setLevel(logging.ERROR)


class Pool:
    """Connections that commit each statement, made when they are needed. It belongs to one event loop."""

    def __init__(self, arguments: dict[str, Any]) -> None:
        self._waiting: set[asyncio.Timeout] = set()
        self._refusal: Exception | None = None
        self._pool = AsyncConnectionPool(
            kwargs={**arguments, "autocommit": True},
            connection_class=_reporting(self._fail_waiting),
            configure=_configure,
            min_size=0,
            max_size=CONNECTIONS,
            timeout=TIME,
            # A call that needs a connection makes a new one; nothing else is to try in an outage.
            reconnect_timeout=0,
            open=False,
        )

    async def open(self) -> None:
        """Begin to serve, if that has not begun; nothing is connected yet."""
        await self._pool.open()

    async def close(self) -> None:
        """Disconnect. A connection that is in use is closed when it comes back."""
        await self._pool.close()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Driver]:
        """A connection that the server has not ended.

        Raises psycopg.Error at once if the server refuses a new one, and psycopg_pool.PoolTimeout if all are
        in use for too long.
        """
        taken = await self._take()
        try:
            yield taken
        finally:
            await self._pool.putconn(taken)

    async def _take(self) -> Driver:
        # Of its own, the pool would look at one that has ended for seconds before it takes another.
        while not is_alive(taken := await self._wait()):
            await taken.close()
            await self._pool.putconn(taken)
        return taken

    async def _wait(self) -> Driver:
        """The next connection. Of its own, the pool would let all wait for as long as the server is away."""
        waiting = asyncio.timeout(None)
        try:
            async with waiting:
                self._waiting.add(waiting)
                return await self._pool.getconn()
        except TimeoutError:
            assert self._refusal is not None  # noqa: S101 -- for the types: nothing else ends the time
            raise self._refusal.with_traceback(None) from None
        finally:
            self._waiting.discard(waiting)

    def _fail_waiting(self, error: Exception) -> None:
        self._refusal = error
        now = asyncio.get_running_loop().time()
        while self._waiting:
            self._waiting.pop().reschedule(now)


async def _configure(connection: Driver) -> None:
    """Have transactions see what others have committed, whatever the server and the address say."""
    await connection.set_isolation_level(IsolationLevel.READ_COMMITTED)


def _reporting(refused: Callable[[Exception], None]) -> type[Driver]:
    """A class of connections that says why one could not be made."""

    class Reporting(psycopg.AsyncConnection[Any]):
        @classmethod
        async def connect(cls, *arguments: Any, **named: Any) -> Self:
            try:
                return await super().connect(*arguments, **named)
            except (psycopg.Error, OSError) as error:
                refused(error)
                raise

    return Reporting
