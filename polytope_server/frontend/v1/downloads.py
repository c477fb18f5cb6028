"""`/api/v1/downloads`: the results."""

from __future__ import annotations

from functools import partial

import falcon
import falcon.asgi

from polytope_server.frontend.refusals import shown
from polytope_server.frontend.services import Services
from polytope_server.frontend.v1.answers import result_location
from polytope_server.frontend.v1.calls import address_of, identify
from polytope_server.frontend.v1.removed import refuse_removed
from polytope_server.http.delivery import deliver
from polytope_server.http.shell import at_end, refuse
from polytope_server.request import Status, Verb
from polytope_server.staging import ObjectNotFoundError
from polytope_server.staging.names import is_object_name


class DownloadResource:
    """`/downloads/<id>/<token>.<extension>`: the unguessable link is enough to get the bytes."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def on_get(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, request_id: str, name: str
    ) -> None:
        full_name = f"{request_id}/{name}"
        if not is_object_name(full_name):
            refuse(falcon.HTTP_404, f"There is no result {shown(full_name)}")

        async def admit(size: int) -> None:
            transfers = self._services.transfers
            at_end(req, await transfers.admit_download(request_id, size, address_of(req)))

        try:
            await deliver(
                self._services.staging,
                full_name,
                req,
                resp,
                head=bool(req.scope.get("polytope.head")),
                served=self._services.metrics.served.inc,
                admit=admit,
                completed=partial(self._services.download_marks.add, request_id),
            )
        except ObjectNotFoundError:
            refuse(falcon.HTTP_404, f"There is no result {shown(full_name)}")


class DownloadLinkResource:
    """`/downloads/<id>`: leads the request's owner to the link."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, request_id: str) -> None:
        services = self._services
        caller = await identify(services, req)
        request = await services.polling.find(caller.user, request_id)
        if request is None:
            await refuse_removed(services, caller, request_id)
            refuse(falcon.HTTP_404, f"Request {shown(request_id)} not found")
        if request.verb is not Verb.RETRIEVE:
            refuse(falcon.HTTP_400, f"Request {request_id} is not a download")
        if request.status is not Status.PROCESSED:
            refuse(falcon.HTTP_400, f"Request {request_id} not ready for download yet")
        location = result_location(services, req, caller, request)
        if location.startswith("../"):
            # Relative to /api/v1/downloads/ here, not to /api/v1/requests/.
            location = f".{location.removeprefix('../downloads')}"
        resp.status = falcon.HTTP_303
        resp.data = b"{}"
        resp.set_header("Location", location)
