"""The routes of the API, as a Falcon application."""

from __future__ import annotations

from typing import Any

import falcon.asgi

from polytope_server.frontend.services import Services
from polytope_server.frontend.v1.account import (
    CollectionResource,
    CollectionsResource,
    TestResource,
    UserResource,
)
from polytope_server.frontend.v1.calls import PREFIX
from polytope_server.frontend.v1.downloads import DownloadLinkResource, DownloadResource
from polytope_server.frontend.v1.errors import Errors
from polytope_server.frontend.v1.keys import KeysResource
from polytope_server.frontend.v1.middleware import (
    BodyTypeMiddleware,
    CallsMiddleware,
    LifespanMiddleware,
    RateLimitMiddleware,
)
from polytope_server.frontend.v1.requests import RequestResource, RequestsResource
from polytope_server.frontend.v1.uploads import UploadResource
from polytope_server.frontend.v1.users import PasswordResource, UsersResource
from polytope_server.runtime.management.server import Management


def make_falcon(services: Services, management: Management) -> falcon.asgi.App[Any, Any]:
    """The Falcon application with all routes and error handlers."""
    middleware: list[Any] = [
        CallsMiddleware(services.metrics),
        LifespanMiddleware(services, management),
        BodyTypeMiddleware(),
    ]
    if services.limits.counts_calls:
        middleware.append(RateLimitMiddleware())
    app: falcon.asgi.App[Any, Any] = falcon.asgi.App(middleware=middleware)
    routes = {
        "/test": TestResource(),
        "/user": UserResource(services),
        "/collections": CollectionsResource(services),
        "/collections/{name}": CollectionResource(services),
        "/requests": RequestsResource(services),
        "/requests/": RequestsResource(services),
        "/requests/{name}": RequestResource(services),
        "/downloads/{request_id}": DownloadLinkResource(services),
        "/downloads/{request_id}/{name}": DownloadResource(services),
        "/uploads/{request_id}": UploadResource(services),
        "/auth/keys": KeysResource(services),
        "/auth/users": UsersResource(services),
        "/auth/password": PasswordResource(services),
    }
    for path, resource in routes.items():
        app.add_route(f"{PREFIX}{path}", resource)
    Errors(services.support).add_to(app)
    return app
