"""Behind a proxy: the address that the client used, from one hop of X-Forwarded headers."""

from __future__ import annotations

from collections.abc import Container

from polytope_server.asgi import ASGIApp, Receive, Scope, Send
from polytope_server.config.frontend_settings import FrontendSettings
from polytope_server.networks import Everybody, Networks


def proxies(settings: FrontendSettings) -> Container[str]:
    """The addresses of the peers that are proxies: by default none, and everybody with `proxy_support`."""
    if not settings.proxy_support:
        return ()
    return Networks(settings.proxies) if settings.proxies else Everybody()


class Proxied:
    """Puts scheme, host, path prefix and client of X-Forwarded-* into the scope of each call.

    Of several values in a header the last counts: the one that the nearest proxy has added.
    """

    def __init__(self, app: ASGIApp, trusted: Container[str] = Everybody()) -> None:
        """`trusted` are the peers whose headers count."""
        self._app = app
        self._trusted = trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (scope.get("client") or ("",))[0] in self._trusted:
            scope = _forwarded(scope)
        await self._app(scope, receive, send)


def _forwarded(scope: Scope) -> Scope:
    headers = dict(scope["headers"])

    def value(name: str) -> str:
        text: str = headers.get(f"x-forwarded-{name}".encode(), b"").decode("latin-1")
        return text.rpartition(",")[2].strip()

    changed = dict(scope)
    if value("proto") in ("http", "https"):
        changed["scheme"] = value("proto")
    host = value("host") or headers.get(b"host", b"").decode("latin-1")
    if value("port").isdigit() and value("host"):
        host = f"{host.rpartition(':')[0] if host.rpartition(':')[2].isdigit() else host}:{value('port')}"
    if value("host"):
        others = [pair for pair in scope["headers"] if pair[0] != b"host"]
        changed["headers"] = [*others, (b"host", host.encode("latin-1"))]
    if value("for"):
        changed["client"] = (value("for"), 0)
    if value("prefix").startswith("/"):
        prefix = value("prefix").rstrip("/")
        changed["root_path"] = prefix
    return changed
