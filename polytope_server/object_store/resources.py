"""The resources of the object store."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import falcon
import falcon.asgi

from polytope_server.http.delivery import deliver
from polytope_server.http.shell import StalledError, body, refuse
from polytope_server.media_types import EXTENSIONS
from polytope_server.object_store.calls import Gate, age, checksum, media_type
from polytope_server.object_store.metrics import StoreMetrics
from polytope_server.object_store.store import Store, WriteEndedError
from polytope_server.staging import ChecksumError, ObjectNotFoundError, StagedObject
from polytope_server.staging.local.files import ObjectExistsError
from polytope_server.staging.names import is_object_name

#: Bytes of the list that are sent together.
_LIST_BLOCK = 64 << 10
#: Seconds for the next bytes of a body. The sender is a worker, whose data source may pause between two
#: fields; one whose machine is gone is found by the system much earlier.
_CHUNK_TIME = 3600.0
_NO_OBJECT = "There is no such object"
_WRONG_PATH = f"The path must be <request id>/<token>.<extension>, one of {', '.join(EXTENSIONS.values())}"


class ObjectResource:
    """`/<request id>/<token>.<extension>`: who knows the unguessable name may read, others not."""

    def __init__(self, store: Store, gate: Gate, metrics: StoreMetrics) -> None:
        self._store, self._gate, self._metrics = store, gate, metrics

    async def on_get(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, request_id: str, name: str
    ) -> None:
        """The object, or the range of it that is asked for."""
        await self._deliver(req, resp, f"{request_id}/{name}", head=False)

    async def on_head(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, request_id: str, name: str
    ) -> None:
        """What is known of the object."""
        await self._deliver(req, resp, f"{request_id}/{name}", head=True)

    async def on_put(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, request_id: str, name: str
    ) -> None:
        """Store the body under a name that is not used yet; 201 with size and MD5 sum."""
        self._gate.check(req)
        full_name = f"{request_id}/{name}"
        if not is_object_name(full_name):
            refuse(
                falcon.HTTP_400, f"The path must be <request id>/<token>.<{', '.join(EXTENSIONS.values())}>"
            )
        made = await self._create(req, full_name)
        resp.status = falcon.HTTP_201
        sums = {"md5": made.md5, "etag": made.etag}
        known = {"name": made.name, "size": made.size, **sums, "modified": made.modified}
        resp.data = json.dumps(known).encode()

    async def on_delete(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, request_id: str, name: str
    ) -> None:
        """Remove the object, also one that is being written."""
        self._gate.check(req)
        full_name = f"{request_id}/{name}"
        if not is_object_name(full_name) or not await self._store.delete(full_name):
            refuse(falcon.HTTP_404, _NO_OBJECT)
        resp.status = falcon.HTTP_204

    async def _deliver(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str, head: bool
    ) -> None:
        self._gate.trusts(req)
        try:
            found = await deliver(self._store.staging, name, req, resp, head, self._metrics.sent.inc)
        except ObjectNotFoundError:
            refuse(falcon.HTTP_404, _NO_OBJECT)
        self._store.sums.want(found)
        resp.last_modified = datetime.fromtimestamp(found.modified, UTC)
        # To the fraction of a second, for the other processes.
        resp.set_header("X-Modified", repr(found.modified))

    async def _create(self, req: falcon.asgi.Request, name: str) -> StagedObject:
        announced, md5, kind = req.content_length or 0, checksum(req), media_type(req)
        try:
            made = await self._store.create(name, body(req, _CHUNK_TIME), kind, announced, md5)
        except StalledError as error:
            refuse(falcon.HTTP_408, str(error))
        except ObjectExistsError:
            conditional = req.get_header("if-none-match") == "*"
            refuse(
                falcon.HTTP_412 if conditional else falcon.HTTP_409,
                "There is an object of that name already; objects are written once",
            )
        except ChecksumError as error:
            refuse(falcon.HTTP_422, f"Nothing is stored: {error}")
        except WriteEndedError:
            refuse(falcon.HTTP_409, "The object was deleted while it was written")
        self._metrics.received.inc(made.size)
        return made


class RequestResource:
    """`/<request id>/`: all objects of a request."""

    def __init__(self, store: Store, gate: Gate) -> None:
        self._store, self._gate = store, gate

    async def on_delete(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, request_id: str) -> None:
        """Remove them; answers how many there were."""
        self._gate.check(req)
        resp.data = _count(await self._store.delete_request(request_id))


class ListResource:
    """`/`: all objects."""

    def __init__(self, store: Store, gate: Gate) -> None:
        self._store, self._gate = store, gate

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """A JSON object for each on a line of its own: name, size in bytes, seconds since the epoch."""
        self._gate.check(req)
        resp.content_type = "application/x-ndjson"
        resp.stream = self._lines()

    async def _lines(self) -> AsyncIterator[bytes]:
        text = ""
        async for found in self._store.staging.list():
            known = {"name": found.name, "size": found.size, "modified": found.modified}
            text += f"{json.dumps(known)}\n"
            if len(text) >= _LIST_BLOCK:
                yield text.encode()
                text = ""
        yield text.encode()


class UnfinishedResource:
    """`/unfinished`: what writers left that did not come to an end."""

    def __init__(self, store: Store, gate: Gate) -> None:
        self._store, self._gate = store, gate

    async def on_delete(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Remove what was not written to for `age` seconds; answers how many there were."""
        self._gate.check(req)
        resp.data = _count(await self._store.staging.abandoned(time.time() - age(req)))


class RoomResource:
    """`/room`: how much more may be stored."""

    def __init__(self, store: Store, gate: Gate) -> None:
        self._store, self._gate = store, gate

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """In bytes, less than 0 if the reserve is touched. Refuses as a PUT if `size` bytes may not come."""
        self._gate.check(req)
        if size := req.get_param_as_int("size", default=0):
            self._store.admit(size)
        resp.data = json.dumps({"room": self._store.room()}).encode()


class HealthResource:
    """`/health`: whether the process answers."""

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """It does."""
        resp.data = json.dumps({"message": "The object store is running"}).encode()


def _count(count: int) -> bytes:
    return json.dumps({"count": count}).encode()
