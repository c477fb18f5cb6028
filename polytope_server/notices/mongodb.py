"""Notices between the processes of several machines, by the change streams of MongoDB.

A notice is a small document that a later clean-up by the server removes; each subscriber holds one change
stream, which the server fills. Only members of a replica set have those; a set of one server will do.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import Field
from pymongo import IndexModel, WriteConcern
from pymongo.asynchronous.change_stream import AsyncChangeStream
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import OperationFailure

from polytope_server.back_off import BackOff
from polytope_server.drivers.mongodb import (
    Connection,
    Document,
    MongoDBSettings,
    MongoDBUnavailableError,
    Operations,
    create_indexes,
)
from polytope_server.notices import Notice, Notices, Topic

logger = logging.getLogger(__name__)

_DATABASE = "notices"
_TOPICS = frozenset(Topic)
#: Seconds after which the server removes a document.
_TIME_TO_LIVE = 60
#: Ids in one document.
_BATCH = 512
#: The most ids that wait for the server; further ones are lost.
_BACKLOG = 20_000
#: Seconds for the first look at the changes, and for what is still to be sent in the end.
_PATIENCE = 3.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 1.0
#: Change streams hold what is on disk. The server writes its journal at once for those who wait for that,
#: ten times a second for others.
_WRITTEN = WriteConcern(w=1, j=True)


class MongoDBNoticesSettings(MongoDBSettings):
    """Keys of the notices `mongodb`."""

    collection: str = Field(
        "notices",
        pattern="^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$",
        description="Collection of the database `notices`.",
    )


class MongoDBNotices(Notices):
    """Publishes by inserting documents `{topic, ids}`, and receives them from a change stream."""

    Settings = MongoDBNoticesSettings

    def __init__(self, settings: MongoDBNoticesSettings, data: Path) -> None:
        self._connection = Connection.at(settings)
        self._name = settings.collection
        self._collection: AsyncCollection[Document] | None = None
        self._pending: dict[Topic, list[str]] = {}
        self._waiting = 0
        self._wake = asyncio.Event()
        self._subscriptions: list[tuple[set[Topic], Callable[[Notice], None]]] = []
        self._sender: asyncio.Task[None] | None = None
        self._watcher: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Connect. Raises :class:`MongoDBUnavailableError`, also for a server without a replica set."""
        if self._collection is None:
            await self._connection.open(self._prepare)
            self._collection = self._connection.collection(_DATABASE, self._name)
            self._sender = asyncio.create_task(
                self._send_pending(self._collection.with_options(write_concern=_WRITTEN))
            )

    async def _prepare(self) -> None:
        if not await self._connection.is_replicated():
            raise MongoDBUnavailableError(
                f"MongoDB at {self._connection.server} does not belong to a replica set, and cannot pass on "
                "notices: make it one (`mongod --replSet NAME` and rs.initiate(); a single server will do), "
                "or choose another back-end for `notices`, such as rabbitmq, postgresql or local"
            )
        expiry = IndexModel([("at", 1)], expireAfterSeconds=_TIME_TO_LIVE)
        await create_indexes(self._connection.collection(_DATABASE, self._name), [expiry])

    async def close(self) -> None:
        if self._collection is None:
            return
        self._collection = None  # the sender ends when all is sent
        self._wake.set()
        tasks = [task for task in (self._sender, self._watcher) if task is not None]
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                await tasks[0]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._watcher = None
        self._subscriptions.clear()
        await self._connection.close()

    @property
    def _operations(self) -> Operations:
        return self._connection.failing_with(MongoDBUnavailableError)

    # -- publishing ------------------------------------------------------------------------------------

    def publish(self, topic: Topic, *request_ids: str) -> None:
        taken = request_ids[: _BACKLOG - self._waiting]
        if self._collection is not None and taken:
            self._pending.setdefault(topic, []).extend(taken)
            self._waiting += len(taken)
            self._wake.set()

    async def _send_pending(self, collection: AsyncCollection[Document]) -> None:
        """Send together what comes in within a turn of the event loop, or while the last was sent."""
        logged = False
        while self._collection is not None or self._pending:
            await self._wake.wait()
            self._wake.clear()
            if not (documents := self._take_pending()):
                continue
            try:
                with self._operations:
                    await collection.insert_many(documents)
                logged = False
            except MongoDBUnavailableError as error:
                # Not kept: who misses a notice looks into the store, and later it would be no news.
                if not logged:
                    logger.warning("notices are lost: %s", error)
                logged = True

    def _take_pending(self) -> list[Document]:
        pending, self._pending, self._waiting = self._pending, {}, 0
        now = datetime.now(UTC)
        return [
            {"topic": str(topic), "ids": ids[start : start + _BATCH], "at": now}
            for topic, ids in pending.items()
            for start in range(0, len(ids), _BATCH)
        ]

    # -- subscribing -----------------------------------------------------------------------------------

    async def subscribe(self, topics: set[Topic], receive: Callable[[Notice], None]) -> None:
        """Returns when notices come in, or after a few seconds if the server cannot be reached now."""
        if self._collection is None:
            raise MongoDBUnavailableError("the notices (MongoDB) are not open")
        self._subscriptions.append((set(topics), receive))
        if self._watcher is not None:
            self._watcher.cancel()
        ready = asyncio.Event()
        self._watcher = asyncio.create_task(self._watch(self._collection, ready))
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                await ready.wait()

    async def _watch(self, collection: AsyncCollection[Document], ready: asyncio.Event) -> None:
        """Receive until cancelled; after an outage, what was missed first."""
        topics = sorted({str(topic) for wanted, _ in self._subscriptions for topic in wanted})
        inserted = {"operationType": "insert", "fullDocument.topic": {"$in": topics}}
        token = None
        back_off = BackOff(_FIRST_PAUSE, _LONGEST_PAUSE)
        while True:
            try:
                with self._operations:
                    async with await collection.watch([{"$match": inserted}], resume_after=token) as stream:
                        if ready.is_set():
                            logger.info("notices from MongoDB at %s come in again", self._connection.server)
                        ready.set()
                        back_off.succeeded()
                        while stream.alive:
                            change = await self._next(stream)
                            token = stream.resume_token
                            if change is not None:
                                self._deliver(change["fullDocument"])
            except MongoDBUnavailableError as error:
                if not back_off.failures:
                    logger.warning("no notices come in: %s", error)
                if isinstance(error.__cause__, OperationFailure):  # it may not reach as far back
                    token = None
            await asyncio.sleep(back_off.failed())

    async def _next(self, stream: AsyncChangeStream[Document]) -> Mapping[str, Any] | None:
        with self._operations:
            # Not next(): the time of an operation would be that for the next notice.
            return await stream.try_next()

    def _deliver(self, document: Mapping[str, Any]) -> None:
        if document["topic"] not in _TOPICS:  # of a later version
            return
        topic = Topic(document["topic"])
        for request_id in document["ids"]:
            for topics, receive in self._subscriptions:
                if topic in topics:
                    try:
                        receive(Notice(topic, request_id))
                    except Exception:  # the others, and later notices, are to arrive all the same
                        logger.exception("a notice could not be taken")
