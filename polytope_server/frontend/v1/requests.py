"""`/api/v1/requests`: submit, poll, list, revoke."""

from __future__ import annotations

from functools import partial

import falcon
import falcon.asgi

from polytope_server.authentication.manager import Identification
from polytope_server.frontend.origin import Origin, read_origin
from polytope_server.frontend.refusals import Kind, RefusedError, shown
from polytope_server.frontend.services import Services
from polytope_server.frontend.v1.answers import answer_pending, answer_state
from polytope_server.frontend.v1.calls import answer, decoded, identify, preferred_wait, read_body
from polytope_server.frontend.v1.lists import answer_list
from polytope_server.frontend.v1.removed import refuse_removed
from polytope_server.frontend.validation import Draft
from polytope_server.http.shell import refuse
from polytope_server.language import load_json


class RequestsResource:
    """`GET /requests`: the caller's requests."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        caller = await identify(self._services, req)
        await answer_list(self._services.lists, req, resp, caller.user)


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
        body = partial(read_body, req, services.settings.max_body)
        origin = origin_of(req, caller)
        if origin.key:
            resp.set_header("Idempotency-Key", origin.key)
        request = await services.submissions.submit(caller.user, collection, body, draft_of, origin)
        answer_pending(services, req, resp, caller, request)

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str) -> None:
        """List the caller's requests of the collection `name`, or poll the request of that id."""
        services = self._services
        caller = await identify(services, req)
        if name in services.collections:
            await answer_list(services.lists, req, resp, caller.user, name)
            return
        request = await services.polling.poll(caller.user, name, preferred_wait(req))
        if request is None:
            await refuse_removed(services, caller, name)
            refuse(falcon.HTTP_404, f"Request {shown(name)} not found")
        answer_state(services, req, resp, caller, request)

    async def on_delete(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str) -> None:
        """Revoke the request of that id, or `all` of the caller's that have not ended."""
        services = self._services
        user = (await identify(services, req)).user
        revocations = services.revocations
        # Before the names of collections: one may be called so.
        if name.lower() == "all":
            number = await revocations.revoke_all(user)
        elif name in services.collections:
            refuse(falcon.HTTP_400, "Collections do not support DELETE")
        else:
            number = await revocations.revoke(user, name)
        answer(resp, {"message": f"Successfully revoked {number} requests"})


def origin_of(req: falcon.asgi.Request, caller: Identification) -> Origin:
    """What the client says of its submission; where it was before only other servers can say.

    Raises RefusedError.
    """
    via = req.get_header("polytope-via") if caller.by_peer else None
    return read_origin(req.get_header("idempotency-key"), via)


def draft_of(body: bytes) -> Draft:
    """The submission in a body. Raises RefusedError if it is not JSON, or lacks something."""
    found = decoded(body, load_json)
    if not isinstance(found, dict) or "verb" not in found:
        raise RefusedError(Kind.INVALID, "HTTP request content is missing 'verb' (e.g. retrieve)")
    if "request" not in found:
        raise RefusedError(Kind.INVALID, "HTTP request content is missing 'request'")
    return Draft(found["verb"], found["request"], found.get("url"))
