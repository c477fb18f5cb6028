"""Two real broker processes on a store, with workers that only pretend to work."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pymongo
import requests
import yaml

from polytope_server.config import load
from polytope_server.notices import Notices, Topic
from polytope_server.request import Request, Status
from polytope_server.request_store import RequestStore, RequestSummary, StoreUnavailableError
from polytope_server.request_store.mongodb import MongoDBRequestStore
from polytope_server.request_store.mongodb.documents import INDEXES, to_document, to_summary
from polytope_server.request_store.sql import SQLRequestStore
from polytope_server.request_store.sql.rows import INSERT, to_row
from polytope_server.settings import create_backend
from polytope_server.user import User
from testbed.launch import Process, fork
from testbed.server import CONFIG, free_port
from testbed.services import MongoDB, PostgreSQL

#: Requests that a bulk insert sends at a time.
_BULK = 5000
_PAUSE = 0.02


class Broker:
    """A broker process that may be stopped, killed and started again."""

    def __init__(self, site: Site, number: int) -> None:
        self._site = site
        self._port = free_port()
        self._file = site.data / f"broker{number}.yaml"
        self._file.write_text(yaml.safe_dump({"broker": {"management": {"port": self._port}}}))
        self.log = site.data / f"broker{number}.log"
        self._process: Process | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        files = ("-f", str(self._site.file), "-f", str(self._file))
        self._process = fork(["broker", *files, "--data", str(self._site.data)], self.log, os.environ)

    def send(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def end(self, number: signal.Signals) -> None:
        """Have the process end, and wait until it has."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)
            self._process.wait(60)

    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def known_to_wait(self) -> int | None:
        """How many requests it knows to wait, None while it does not lead."""
        try:
            text = requests.get(f"http://127.0.0.1:{self._port}/metrics", timeout=30).text
        except requests.RequestException:
            return None
        found = [line for line in text.splitlines() if line.startswith("polytope_requests_waiting{")]
        return round(sum(float(line.rpartition(" ")[2]) for line in found)) if found else None

    def memory(self) -> int:
        """Peak of the resident memory, in MiB."""
        status = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) >> 10


class Site:
    """A configuration for brokers, its store and notices, and brokers that run by it."""

    def __init__(self, data: Path, store: dict[str, Any], **sections: Any) -> None:
        self.data = data
        self.file = data / "config.yaml"
        backends = {"request_store": store, "queue": {"local": {}}, "notices": {"local": {}}}
        self.file.write_text(yaml.safe_dump({**CONFIG, **backends, **sections}))
        configuration = load([self.file])
        self.collections = configuration.collections
        self.store: RequestStore = create_backend("request_store", configuration.settings.request_store, data)
        self.notices: Notices = create_backend("notices", configuration.settings.notices, data)
        self.brokers = [Broker(self, number) for number in range(2)]

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Site]:
        """The store and the notices open; no broker is left in the end."""
        await self.store.open()
        await self.notices.open()
        try:
            yield self
        finally:
            for broker in self.brokers:
                if broker.alive():
                    broker.send(signal.SIGCONT)
                broker.end(signal.SIGKILL)
            await self.notices.close()
            await self.store.close()

    def logs(self) -> str:
        return "\n".join(broker.log.read_text()[-3000:] for broker in self.brokers if broker.log.exists())

    def broker(self, holder: str) -> Broker:
        """The broker that has the lease of this holder."""
        return next(broker for broker in self.brokers if f"-{broker.pid}-" in holder)

    async def lease(self) -> tuple[str, int]:
        """Who leads, or did last, and in which term."""
        store = self.store
        if isinstance(store, SQLRequestStore):
            found = await store._read("SELECT holder, term FROM leases WHERE name = 'broker'", {})
            return (found[0][0], found[0][1]) if found else ("", 0)
        assert isinstance(store, MongoDBRequestStore)
        lease = await store._leases._collection.find_one({"_id": "broker"})
        return (lease["holder"], lease["term"]) if lease else ("", 0)

    async def fill(self, count: int, users: int = 1000) -> None:
        """Store many waiting requests at once, without notices."""
        if isinstance(self.store, SQLRequestStore):
            await self._fill_table(_many(count, users))
        else:
            assert isinstance(self.store, MongoDBRequestStore)
            await asyncio.to_thread(self._fill_collection, count, users)

    def _fill_collection(self, count: int, users: int) -> None:
        first = time.time_ns() // 1000 - count
        documents = (to_document(made, first + number) for number, made in enumerate(_many(count, users)))
        keys = yaml.safe_load(self.file.read_text())["request_store"]["mongodb"]
        with pymongo.MongoClient[dict[str, Any]](keys["uri"], w=1, journal=False) as client:
            found = client["request_store"][keys["collection"]]
            # To keep them up to date with each document takes longer than to make them in the end.
            found.drop_indexes()
            while part := list(islice(documents, _BULK)):
                found.insert_many(part, ordered=False)
            found.create_indexes(list(INDEXES))

    async def _fill_table(self, made: Iterable[Request]) -> None:
        rows = (to_row(request) for request in made)
        assert isinstance(self.store, SQLRequestStore)
        while part := list(islice(rows, _BULK)):
            if self.store._dialect.held:  # PostgreSQL
                await asyncio.to_thread(_copy, self.file, part)
            else:
                await self.store._database.write_all([(INSERT, row) for row in part])

    def read_bare(self) -> int:
        """All waiting requests, as the driver of the store reads them; returns how many there are."""
        settings = yaml.safe_load(self.file.read_text())["request_store"]
        if "mongodb" in settings:
            with pymongo.MongoClient(settings["mongodb"]["uri"]) as client:
                found = client["request_store"][settings["mongodb"]["collection"]]
                fields = {"collection": 1, "user_id": 1, "realm": 1, "roles": 1, "state": 1, "sequence": 1}
                return sum(1 for _ in found.find({"state": "waiting"}, fields, sort=[("sequence", 1)]))
        with psycopg.connect(settings["sql"]["url"]) as connection, connection.cursor("bare") as cursor:
            cursor.itersize = 1000
            cursor.execute(
                'SELECT id, collection, user_id, "user", status, sequence FROM requests '
                "WHERE status = 'waiting' ORDER BY sequence"
            )
            return sum(1 for _ in cursor)

    async def snapshot(self) -> list[RequestSummary]:
        """All active requests, as they were at one moment."""
        if isinstance(self.store, MongoDBRequestStore):
            return await asyncio.to_thread(self._mongodb_snapshot)
        return await self.store.active(0, 100_000)

    def _mongodb_snapshot(self) -> list[RequestSummary]:
        keys = yaml.safe_load(self.file.read_text())["request_store"]["mongodb"]
        with pymongo.MongoClient(keys["uri"]) as client, client.start_session(snapshot=True) as session:
            found = client["request_store"][keys["collection"]]
            where = {"state": {"$in": ["queued", "processing"]}}
            return [to_summary(document) for document in found.find(where, session=session)]


def _many(count: int, users: int) -> Iterator[Request]:
    for number in range(count):
        user = User(f"user{number % users}", "test")
        yield Request(user, "echo", user_request="x", coerced_request={"data": "x"}, datasource="echo")


def _copy(file: Path, rows: list[dict[str, Any]]) -> None:
    names = ", ".join(f'"{name}"' for name in rows[0])
    url = yaml.safe_load(file.read_text())["request_store"]["sql"]["url"]
    statement = f"COPY requests ({names}) FROM STDIN"
    with psycopg.connect(url) as connection, connection.cursor().copy(statement) as copy:
        for row in rows:
            copy.write_row([str(value) if isinstance(value, StrEnum) else value for value in row.values()])


def store_of(service: MongoDB | PostgreSQL | None) -> dict[str, Any]:
    """The section `request_store` for a store of its own on that server; SQLite if there is none."""
    name = f"t{uuid4().hex[:8]}"
    if isinstance(service, MongoDB):
        return {"mongodb": {"uri": service.uri, "collection": name}}
    if isinstance(service, PostgreSQL):
        with psycopg.connect(service.url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return {"sql": {"url": service.url.replace("/polytope", f"/{name}")}}
    return {"sql": {}}


class Workers:
    """Claim and complete whatever is queued, and note when they found it."""

    def __init__(self, site: Site, work: float = 0.0) -> None:
        self._site = site
        self._work = work
        self._busy: set[asyncio.Task[None]] = set()
        self.done: Counter[str] = Counter()
        #: When the last request was found queued.
        self.last = 0.0

    @asynccontextmanager
    async def working(self) -> AsyncIterator[Workers]:
        task = asyncio.create_task(self._serve())
        try:
            yield self
            assert not task.done(), task.exception()
        finally:
            task.cancel()
            await asyncio.gather(task, *self._busy, return_exceptions=True)

    async def _serve(self) -> None:
        while True:
            with suppress(StoreUnavailableError):
                active = await self._site.store.active(0, 1000)
                queued = [summary.id for summary in active if summary.status is Status.QUEUED]
                if queued:
                    await self._take(queued)
            await asyncio.sleep(_PAUSE)

    async def _take(self, ids: list[str]) -> None:
        claimed = await self._site.store.claim(ids, "w", 3600)
        if claimed:
            self.last = time.monotonic()
            self._site.notices.publish(Topic.CLAIMED, *(request.id for request in claimed))
        for request in claimed:
            task = asyncio.create_task(self._complete(request))
            self._busy.add(task)
            task.add_done_callback(self._busy.discard)

    async def _complete(self, request: Request) -> None:
        await asyncio.sleep(self._work)
        store = self._site.store
        ended = await store.transition(
            request.id, Status.PROCESSING, request.attempt, Status.PROCESSED, user_message="Success"
        )
        assert ended is not None, "the request was taken away"
        self.done[request.id] += 1
        self._site.notices.publish(Topic.ENDED, request.id)
