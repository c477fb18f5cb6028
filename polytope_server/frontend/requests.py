"""`/api/v1/requests`: submit, poll, list, revoke (REST v1, sections 3.4 to 3.6)."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import lru_cache
from typing import Any

import falcon
import falcon.asgi

from polytope_server.authentication.manager import Identification
from polytope_server.collection import Collection
from polytope_server.frontend.calls import absolute, answer, identify, read_body, shown
from polytope_server.frontend.removed import refuse_removed
from polytope_server.frontend.services import Services
from polytope_server.frontend.submission import read_request
from polytope_server.frontend.support import FailedRequestError
from polytope_server.frontend.waiters import wait
from polytope_server.http.shell import refuse
from polytope_server.notices import Topic
from polytope_server.request import LIVE, TERMINAL, Request, Status, Verb
from polytope_server.request_store import Removed, StoreUnavailableError
from polytope_server.runtime import log
from polytope_server.staging import StagingUnavailableError
from polytope_server.staging.names import is_request_id
from polytope_server.user import User

logger = logging.getLogger(__name__)

#: Between two attempts to reach the store, while a poll is held.
_PAUSE = 0.25
#: Seconds that a poll of a request which was submitted here just now waits for its end before it reads.
_FIRST_WAIT = 1.0
#: What `polytope-client` is told to wait; it ignores that, and peer servers do not.
_RETRY_AFTER = "5"
_PREFER_WAIT = re.compile(r"(?:^|[,;\s])wait=(\d{1,6})(?:$|[,;\s])", re.IGNORECASE)
#: The states as clients see them: which of the two a request waits in is no concern of theirs.
_SHOWN_STATUS = {Status.WAITING: "queued"}


class RequestsResource:
    """`GET /requests`: the caller's requests."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        caller = await identify(self._services, req)
        await self._services.lists.answer(req, resp, caller.user)


class RequestResource:
    """`/requests/<collection>` and `/requests/<id>`, which share one segment of the path."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str) -> None:
        """Submit a request to the collection `name`."""
        services = self._services
        caller = await identify(services, req)
        collection = services.collections.get(name)
        if collection is None:
            refuse(falcon.HTTP_404, f"Unsupported collection type: {shown(name)}")
        with services.metrics.submission(name):
            request = await self._submit(req, caller, collection)
        answer_pending(services, req, resp, caller, request)

    async def _submit(
        self, req: falcon.asgi.Request, caller: Identification, collection: Collection
    ) -> Request:
        """The request of this call, stored. Ends the call if it is refused, or fails early."""
        services = self._services
        if not collection.admits(caller.user):
            username = shown(caller.user.username)
            refuse(falcon.HTTP_403, f"User {username} cannot access collection {collection.name}")
        body = await read_body(req, services.settings.max_body)
        request = await read_request(services, req, collection, caller.user, body)
        log.request_id.set(request.id)
        with services.waiters.watch(request.id) as ended:
            async with services.limits.admit_request(req, request):
                await services.store.add(request)
            if request.status is Status.WAITING:
                services.waiters.submitted(request)
                services.notices.publish(Topic.WAITING, request.id)
            logger.info("%s %s by %s", request.verb, collection.name, caller.user.username)
            if services.settings.submit_wait > 0 and request.status is Status.WAITING:
                await wait(ended, services.settings.submit_wait)
                now = await services.store.get(request.id)
                if now is not None and now.status is Status.FAILED:
                    raise FailedRequestError(now)
        return request

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str) -> None:
        """List the caller's requests of the collection `name`, or poll the request of that id."""
        caller = await identify(self._services, req)
        if name in self._services.collections:
            await self._services.lists.answer(req, resp, caller.user, name)
            return
        request = await poll(self._services, req, caller, name)
        if request is None:
            await refuse_removed(self._services, caller, name)
            refuse(falcon.HTTP_404, f"Request {shown(name)} not found")
        answer_state(self._services, req, resp, caller, request)

    async def on_delete(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str) -> None:
        """Revoke the request of that id, or `all` of the caller's that have not ended."""
        services = self._services
        caller = await identify(services, req)
        if name in services.collections:
            refuse(falcon.HTTP_400, "Collections do not support DELETE")
        number = 0
        async for removed in self._removed(caller.user, name):
            await self._clean_up(removed)
            number += len(removed)
        logger.info("%s revoked %d requests", caller.user.username, number)
        answer(resp, {"message": f"Successfully revoked {number} requests"})

    async def _removed(self, user: User, name: str) -> AsyncIterator[list[Removed]]:
        """What was removed from the store, in parts."""
        store = self._services.store
        if name.lower() == "all":
            async for part in store.remove_all(user.id, LIVE):
                yield part
        elif is_request_id(name) and (found := await store.remove(name, user_id=user.id)):
            yield [Removed(found.id, found.collection, found.status, found.staged)]

    async def _clean_up(self, removed: list[Removed]) -> None:
        """Tell who waits for those requests, or works for them, and delete what they have staged."""
        services = self._services
        services.notices.publish(Topic.REMOVED, *(request.id for request in removed))
        services.metrics.revoked(removed)
        for request in removed:
            if request.staged or request.status is Status.PROCESSING:
                # If the staging cannot be reached the garbage collector finds it.
                with suppress(StagingUnavailableError):
                    await services.staging.delete_request(request.id)


async def poll(
    services: Services, req: falcon.asgi.Request, caller: Identification, request_id: str
) -> Request | None:
    """The caller's request of that id, once it has ended or the poll was held for its longest time.

    None if there is none, or if it is another user's: the two look the same from outside.
    """
    if not is_request_id(request_id):
        return None
    seconds = _hold(services, req)
    if seconds <= 0:
        return await _own(services, caller, request_id)
    until = time.monotonic() + seconds
    with services.waiters.watch(request_id) as ended:
        if services.waiters.is_fresh(request_id, caller.user):
            # PERF: what would be read is known. A lost notice costs this second.
            await wait(ended, min(seconds, _FIRST_WAIT))
        request = await _patiently(services, caller, request_id, until)
        if request is None or request.status in TERMINAL or request.status is Status.UPLOADING:
            return request
        await wait(ended, until - time.monotonic())
    return await _patiently(services, caller, request_id, until)


async def _patiently(
    services: Services, caller: Identification, request_id: str, until: float
) -> Request | None:
    """As :func:`_own`; while the store cannot be reached this poll is held, as it is while its request runs.

    `polytope-client` does nothing for two minutes when it is answered with 503.
    """
    while True:
        try:
            return await _own(services, caller, request_id)
        except StoreUnavailableError:
            if time.monotonic() + _PAUSE >= until or services.waiters.released:
                raise
            await asyncio.sleep(_PAUSE)


async def _own(services: Services, caller: Identification, request_id: str) -> Request | None:
    request = await services.store.get(request_id)
    return request if request is not None and request.user.id == caller.user.id else None


def _hold(services: Services, req: falcon.asgi.Request) -> float:
    """How long this poll may be held: as configured, or less if the client prefers that (RFC 7240)."""
    longest: float = services.settings.poll_wait
    preference = req.get_header("prefer")
    found = _PREFER_WAIT.search(preference) if preference else None
    return min(longest, float(found[1])) if found else longest


def answer_pending(
    services: Services,
    req: falcon.asgi.Request,
    resp: falcon.asgi.Response,
    caller: Identification,
    request: Request,
) -> None:
    """202: the request has not ended."""
    status = _SHOWN_STATUS.get(request.status, str(request.status))
    place = f"../uploads/{request.id}" if request.status is Status.UPLOADING else f"./{request.id}"
    resp.set_header("Location", absolute(services, req, caller, place))
    resp.set_header("Retry-After", _RETRY_AFTER)
    resp.status = falcon.HTTP_202
    resp.data = _pending_body(request.user_message or f"Request {status}", status)


@lru_cache(maxsize=100)
def _pending_body(message: str, status: str) -> bytes:
    return json.dumps({"message": message, "status": status}).encode()


def answer_state(
    services: Services,
    req: falcon.asgi.Request,
    resp: falcon.asgi.Response,
    caller: Identification,
    request: Request,
) -> None:
    """What a poll is told of a request, whatever its state."""
    if request.status is Status.FAILED:
        raise FailedRequestError(request)
    if request.status is not Status.PROCESSED:
        answer_pending(services, req, resp, caller, request)
    elif request.verb is Verb.ARCHIVE:
        answer(resp, {"location": f"./{request.id}", "message": "Success", "status": "processed"})
    else:
        location = result_location(services, request)
        resp.set_header("Location", absolute_result(services, req, caller, location))
        body: dict[str, Any] = {
            "contentLength": request.content_length,
            "contentType": request.content_type,
            "location": location,
        }
        answer(resp, body, falcon.HTTP_303)


def result_location(services: Services, request: Request) -> str:
    """Where the result is: at the staging, or relative to `/api/v1/requests/` where this server serves it."""
    return services.staging.public_url(request.result) or f"../downloads/{request.result}"


def absolute_result(
    services: Services, req: falcon.asgi.Request, caller: Identification, location: str
) -> str:
    """The same, made absolute where that is needed."""
    return location if "://" in location else absolute(services, req, caller, location)
