"""Notices between the processes of several machines, by LISTEN and NOTIFY of PostgreSQL.

Each topic is a channel. A process publishes on one connection, and holds another for each subscription,
of which it has one.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
from pydantic import BaseModel, ConfigDict, Field, field_validator

from polytope_server.back_off import BackOff
from polytope_server.drivers.sql import DatabaseUnavailableError
from polytope_server.drivers.sql.postgresql_connection import (
    Driver,
    answering,
    connect_arguments,
    failures_of,
    is_alive,
    server_name,
)
from polytope_server.notices import Notice, Notices, Topic

logger = logging.getLogger(__name__)

#: A payload has less than 8000 bytes (`sql-notify` in PostgreSQL's manual).
_LONGEST = 7999
#: The most ids that wait for the server; further ones are lost.
_BACKLOG = 20_000
#: Seconds for an answer, for the first connection of a subscription, and for what is to be sent in the end.
_PATIENCE = 3.0
#: Seconds after the last notice until a subscription asks whether the server is still there.
_SILENCE = 10.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 1.0
_CHANNELS = {topic: f"polytope_{topic}" for topic in Topic}
_TOPICS = {channel: topic for topic, channel in _CHANNELS.items()}
_NOTIFY = "SELECT pg_notify(channel, payload) FROM unnest(%s::text[], %s::text[]) AS n (channel, payload)"


class PostgreSQLNoticesSettings(BaseModel):
    """Keys of the notices `postgresql`."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
    url: str = Field(
        repr=False,
        description="Address of the database, `postgresql://USER:PASSWORD@HOST:PORT/DATABASE`; the server "
        "itself, not a pooler that gives each transaction another connection.",
    )

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, url: str) -> str:
        connect_arguments(url)
        return url


class PostgreSQLNotices(Notices):
    """Publishes, and receives, JSON lists of ids."""

    Settings = PostgreSQLNoticesSettings

    def __init__(self, settings: PostgreSQLNoticesSettings, data: Path) -> None:
        self._arguments = connect_arguments(settings.url)
        # What is lost with the server need not be on its disk.
        self._arguments["options"] += " -c synchronous_commit=off"
        self._server = server_name(self._arguments)
        self._pending: dict[Topic, list[str]] = {}
        self._waiting = 0
        self._wake = asyncio.Event()
        self._closing = False
        self._sender: asyncio.Task[None] | None = None
        self._listeners: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Connect. Raises :class:`~polytope_server.drivers.sql.DatabaseUnavailableError`."""
        if self._sender is None:
            with failures_of(self._server):
                connection = await self._connect()
            self._closing = False
            self._sender = asyncio.create_task(self._send_pending(connection))

    async def close(self) -> None:
        if self._sender is None:
            return
        self._closing = True  # the sender ends when all is sent
        self._wake.set()
        await asyncio.wait([self._sender], timeout=_PATIENCE)
        tasks = [self._sender, *self._listeners]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._sender = None
        self._listeners.clear()

    async def _connect(self) -> Driver:
        return await psycopg.AsyncConnection.connect(autocommit=True, **self._arguments)

    # -- publishing ------------------------------------------------------------------------------------

    def publish(self, topic: Topic, *request_ids: str) -> None:
        taken = request_ids[: _BACKLOG - self._waiting]
        if self._sender is not None and not self._closing and taken:
            self._pending.setdefault(topic, []).extend(taken)
            self._waiting += len(taken)
            self._wake.set()

    async def _send_pending(self, connection: Driver | None) -> None:
        """Send together what comes in within a turn of the event loop, or while the last was sent."""
        back_off = BackOff(_FIRST_PAUSE, _LONGEST_PAUSE)
        try:
            while self._pending or not self._closing:
                await self._wake.wait()
                self._wake.clear()
                while self._pending:
                    try:
                        with failures_of(self._server):
                            connection = await self._connected(connection)
                            self._end_outage("are sent", back_off)
                            with answering(connection, _PATIENCE):
                                await connection.execute(_NOTIFY, self._take_pending())
                    except DatabaseUnavailableError as error:
                        await self._wait_out("are not sent", back_off, error)
        finally:
            if connection is not None:
                await connection.close()

    async def _connected(self, connection: Driver | None) -> Driver:
        """The connection, or another in place of one that has ended: only what is under way then is lost."""
        if connection is not None:
            if not connection.closed and is_alive(connection):
                return connection
            await connection.close()
        return await self._connect()

    def _take_pending(self) -> tuple[list[str], list[str]]:
        """Channels and payloads of all that waits."""
        pending, self._pending, self._waiting = self._pending, {}, 0
        pairs = [(_CHANNELS[topic], payload) for topic, ids in pending.items() for payload in _payloads(ids)]
        return [channel for channel, _ in pairs], [payload for _, payload in pairs]

    # -- subscribing -----------------------------------------------------------------------------------

    async def subscribe(self, topics: set[Topic], receive: Callable[[Notice], None]) -> None:
        """Returns when notices come in, or after a few seconds if the server cannot be reached now."""
        ready = asyncio.Event()
        self._listeners.append(asyncio.create_task(self._listen(sorted(topics), receive, ready)))
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                await ready.wait()

    async def _listen(
        self, topics: Iterable[Topic], receive: Callable[[Notice], None], ready: asyncio.Event
    ) -> None:
        """Receive for as long as this process lives."""
        back_off = BackOff(_FIRST_PAUSE, _LONGEST_PAUSE)
        while True:
            connection: Driver | None = None
            try:
                with failures_of(self._server):
                    connection = await self._connect()
                    for topic in topics:
                        await connection.execute(f"LISTEN {_CHANNELS[topic]}")
                    self._end_outage("come in", back_off)
                    ready.set()
                    await self._receive(connection, receive)
            except DatabaseUnavailableError as error:
                await self._wait_out("do not come in", back_off, error)
            finally:
                if connection is not None:
                    await connection.close()

    async def _receive(self, connection: Driver, receive: Callable[[Notice], None]) -> None:
        while True:
            async for found in connection.notifies(timeout=_SILENCE):
                _deliver(_TOPICS[found.channel], found.payload, receive)
            with answering(connection, _PATIENCE):
                await connection.execute("SELECT 1")

    # -- outages ---------------------------------------------------------------------------------------

    async def _wait_out(self, what: str, back_off: BackOff, error: DatabaseUnavailableError) -> None:
        """Log the beginning of an outage, and pause before the next attempt."""
        if not back_off.failures:
            logger.warning("notices %s: %s", what, error)
        await asyncio.sleep(back_off.failed())

    def _end_outage(self, what: str, back_off: BackOff) -> None:
        """Log the end of an outage, if there was one."""
        if back_off.failures:
            logger.info("notices %s again: %s", what, self._server)
        back_off.succeeded()


def _payloads(request_ids: Iterable[str]) -> Iterator[str]:
    """The ids as JSON lists: of characters that PostgreSQL takes, and no longer than it takes."""
    batch: list[str] = []
    size = 0
    for request_id in request_ids:
        text = json.dumps(request_id)
        if len(text) + 2 > _LONGEST:  # no id of a request is that long
            continue
        if size + len(text) + 2 > _LONGEST:
            yield f"[{','.join(batch)}]"
            batch, size = [], 0
        batch.append(text)
        size += len(text) + 1
    if batch:
        yield f"[{','.join(batch)}]"


def _deliver(topic: Topic, payload: str, receive: Callable[[Notice], None]) -> None:
    request_ids: Any = None
    with suppress(ValueError):
        request_ids = json.loads(payload)
    if not isinstance(request_ids, list):  # of another program
        return
    for request_id in request_ids:
        try:
            receive(Notice(topic, request_id))
        except Exception:  # later notices are to arrive all the same
            logger.exception("a notice could not be taken")
