"""The floors: what the same machine does at the same time without a server around it.

`python -m benchmarks.floor PORT FOLDER` is a bare Falcon application on the server's own gunicorn worker;
:class:`Inserts` is one durable insert after the other into the server's own table.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any
from uuid import uuid4

import falcon
import falcon.asgi
import psutil
from gunicorn.app.base import BaseApplication

from benchmarks import floor_abuse, load
from polytope_server.drivers.sql.address import SQLSettings
from polytope_server.http.server import WebWorker
from polytope_server.request import Request
from polytope_server.request_store.sql import SQLRequestStore
from polytope_server.user import User
from testbed.server import free_port

#: The result of each canned request.
TINY = b"benchmark"
#: As the server's staging reads: the fastest of the sizes that were tried, through a thread.
_CHUNK = 4 << 20
_WRITE = 1 << 20
_START_TIME = 30.0


class _JSON:
    """Answers a small JSON object."""

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        resp.data = json.dumps({"message": "the floor is alive"}).encode()


class _Canned:
    """A life of a request in three calls, with nothing behind: submit, poll, download."""

    def __init__(self) -> None:
        #: How many each user submitted.
        self.submitted: Counter[str] = Counter()

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str) -> None:
        await req.get_media()
        self.submitted[req.auth] += 1
        resp.status = falcon.HTTP_202
        resp.set_header("Location", "./canned")
        resp.data = json.dumps({"message": "Request queued", "status": "queued"}).encode()

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str) -> None:
        resp.status = falcon.HTTP_303
        resp.set_header("Location", "../downloads/canned/result.bin")
        answer = {"contentLength": len(TINY), "contentType": "application/octet-stream", "location": "canned"}
        resp.data = json.dumps(answer).encode()


class _List:
    """As many requests as the caller submitted."""

    def __init__(self, submitted: Counter[str]) -> None:
        self._submitted = submitted
        self._document = Request(User("floor", "test"), "echo", user_request="benchmark").to_document()

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        resp.data = json.dumps({"message": [self._document] * self._submitted[req.auth]}).encode()


class _Result:
    """The tiny result of the canned request."""

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        resp.content_type = "application/octet-stream"
        resp.data = TINY


class _File:
    """Streams a file of the folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str) -> None:
        path = self._folder / name
        resp.content_type = "application/octet-stream"
        resp.content_length = path.stat().st_size
        resp.stream = _chunks(path)


async def _chunks(path: Path) -> AsyncIterator[bytes]:
    file = os.open(path, os.O_RDONLY)
    try:
        start = 0
        while chunk := await asyncio.to_thread(os.pread, file, _CHUNK, start):
            start += len(chunk)
            yield chunk
    finally:
        os.close(file)


class _Insert:
    """One insert that a majority of the replica set has acknowledged."""

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        body = await req.get_media()
        document = {**_DOCUMENT, "_id": uuid4().hex, "user_request": body["request"]}
        await _collection().insert_one(document)
        resp.status = falcon.HTTP_202
        resp.data = json.dumps({"message": "Request queued", "id": document["_id"]}).encode()


class _Read:
    """One read by the primary key."""

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str) -> None:
        document = await _collection().find_one({"_id": name})
        resp.status = falcon.HTTP_202 if document else falcon.HTTP_404
        resp.data = json.dumps({"message": "Request queued", "status": "queued"}).encode()


def _document() -> dict[str, Any]:
    """As much as a small request is."""
    document = Request(User("floor", "test"), "echo").to_document()
    del document["id"]
    return document | dict.fromkeys(("attempt", "failures", "not_before", "worker", "lease_until"), 0)


_DOCUMENT = _document()


@cache
def _collection() -> Any:
    from pymongo import AsyncMongoClient, WriteConcern

    client: Any = AsyncMongoClient(os.environ["MONGODB_URI"])
    return client.floor.get_collection("requests", write_concern=WriteConcern("majority"))


class _Put:
    """Takes a file and writes it to the folder, in chunks of a megabyte."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def on_put(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str) -> None:
        with (self._folder / name).open("wb", buffering=0) as file:
            gathered: list[bytes] = []
            size = 0
            async for chunk in req.stream:
                gathered.append(chunk)
                size += len(chunk)
                if size >= _WRITE:
                    await asyncio.to_thread(file.write, b"".join(gathered))
                    gathered, size = [], 0
            file.write(b"".join(gathered))
            await asyncio.to_thread(os.fsync, file.fileno())
        resp.status = falcon.HTTP_201


def application(folder: Path) -> falcon.asgi.App[Any, Any]:
    """The bare application."""
    app: falcon.asgi.App[Any, Any] = falcon.asgi.App()
    app.add_route("/api/v1/test", _JSON())
    canned = _Canned()
    app.add_route("/api/v1/requests", _List(canned.submitted))
    app.add_route("/api/v1/requests/{name}", canned)
    app.add_route("/api/v1/downloads/canned/result.bin", _Result())
    app.add_route("/files/{name}", _File(folder))
    app.add_route("/uploads/{name}", _Put(folder))
    app.add_route("/mongodb", _Insert())
    app.add_route("/mongodb/{name}", _Read())
    floor_abuse.add_routes(app)
    return app


class _Gunicorn(BaseApplication):  # type: ignore[misc]
    """gunicorn with one worker, of the server's own class."""

    def __init__(self, port: int, folder: Path) -> None:
        self._port = port
        self._folder = folder
        super().__init__()

    def load_config(self) -> None:
        options = {
            "bind": f"{load.HOST}:{self._port}",
            "worker_class": WebWorker,
            "loglevel": "warning",
            "control_socket_disable": True,
        }
        for name, value in options.items():
            if name in self.cfg.settings:  # control_socket_disable: gunicorn 25 and later
                self.cfg.set(name, value)

    def load(self) -> Any:
        return application(self._folder)


class BareServer:
    """The bare application in processes of its own; a context manager."""

    def __init__(self, folder: Path, variables: Mapping[str, str] | None = None) -> None:
        """`variables` are additions to its environment: MONGODB_URI for the routes that need it."""
        self.folder = folder
        self.port = free_port()
        self._variables = dict(variables or {})
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> BareServer:
        self.folder.mkdir(parents=True, exist_ok=True)
        arguments = [str(self.port), str(self.folder)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.floor", *arguments], env={**os.environ, **self._variables}
        )
        deadline = time.monotonic() + _START_TIME
        while not self._alive():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.__exit__(None, None, None)
                raise load.LoadError("the bare Falcon application did not start")
            time.sleep(0.01)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(_START_TIME)

    def _alive(self) -> bool:
        try:
            load.download(self.port, "/api/v1/test")
        except (OSError, load.LoadError):
            return False
        return True

    def processes(self) -> list[psutil.Process]:
        """gunicorn and its worker."""
        assert self._process is not None
        parent = psutil.Process(self._process.pid)
        return [parent, *parent.children(recursive=True)]

    def link(self, path: Path) -> str:
        """Make a file of the same file system available without a copy; returns its path on this server."""
        name = uuid4().hex
        os.link(path, self.folder / name)
        return f"/files/{name}"


class Inserts:
    """Durable inserts of a request into the server's table, in a file of its own, one transaction each."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "inserts.sqlite"
        request = Request(User("floor", "test"), "echo", user_request="benchmark")
        asyncio.run(_prepare(path, request))
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.execute("PRAGMA synchronous=FULL")
        names = [row[1] for row in self._connection.execute("PRAGMA table_info(requests)")]
        others = ", ".join(name for name in names if name not in ("sequence", "id"))
        self._sql = f"INSERT INTO requests (id, {others}) SELECT ?, {others} FROM requests WHERE id = ?"
        self._template = request.id

    def one(self) -> None:
        """Insert one; it is on disk when this returns."""
        self._connection.execute(self._sql, (str(uuid4()), self._template))

    def rate(self, seconds: float) -> float:
        """How many each second."""
        started = time.perf_counter()
        count = 0
        while time.perf_counter() - started < seconds:
            self.one()
            count += 1
        return count / (time.perf_counter() - started)

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()


async def _prepare(path: Path, request: Request) -> None:
    store = SQLRequestStore(SQLSettings(url=f"sqlite:///{path}"), path.parent)
    await store.open()
    await store.add(request)
    await store.close()


if __name__ == "__main__":
    _Gunicorn(int(sys.argv[1]), Path(sys.argv[2])).run()
