"""The smaller routes: test, collections, one collection, and user."""

from __future__ import annotations

import json
from typing import ClassVar

import falcon.asgi

from polytope_server.frontend.refusals import shown
from polytope_server.frontend.services import Services
from polytope_server.frontend.v1.calls import PREFIX, answer, identify, refuse_parameters
from polytope_server.http.shell import refuse
from polytope_server.request import LIVE


class TestResource:
    """`GET /test`: whether this process serves; touches no back-end."""

    __test__ = False  # not for pytest
    _BODY: ClassVar[bytes] = json.dumps({"message": "Polytope server is alive"}).encode()

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        resp.data = self._BODY


class CollectionsResource:
    """`GET /collections`: those that the caller may use, in the order of the configuration."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        caller = await identify(self._services, req)
        collections = self._services.collections.values()
        answer(resp, {"message": [found.name for found in collections if found.admits(caller.user)]})


class CollectionResource:
    """`GET /collections/<name>`: what is in a collection, and how to ask for it, for those who may use it."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str) -> None:
        caller = await identify(self._services, req)
        refuse_parameters(req)
        catalogue = self._services.catalogue
        collection = catalogue.find(name, caller.user)
        if collection is None:
            refuse(falcon.HTTP_404, f"You have no collection {shown(name)!r}; see GET {PREFIX}/collections")
        answer(resp, await catalogue.describe(collection, caller.user))


class UserResource:
    """`GET /user`: how many requests of the caller have not ended, and the limits. All values are strings."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        caller = await identify(self._services, req)
        live = await self._services.store.count(user_id=caller.user.id, statuses=LIVE)
        answer(resp, {"live requests": str(live), **self._services.limits.described()})
