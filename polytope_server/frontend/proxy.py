"""Behind a proxy: the address that the client used, from one hop of X-Forwarded headers."""

from __future__ import annotations

import re
from collections.abc import Container

from polytope_server.http.request_head import is_host
from polytope_server.http.shell import ASGIApp, Receive, Scope, Send
from polytope_server.settings.frontend import FrontendSettings
from polytope_server.settings.networks import EveryAddress, Networks, parse_address

_WITH_PORT = re.compile(r"(?:\[(?P<bracketed>[^\]]*)\]|(?P<plain>[^:]*))(?::[0-9]{0,5})?")


def proxies(settings: FrontendSettings) -> Container[str]:
    """The addresses of the peers that are proxies: by default none, and all with `proxy_support`."""
    if not settings.proxy_support:
        return ()
    return Networks(settings.proxies) if settings.proxies else EveryAddress()


class ForwardedHeaders:
    """Puts scheme, host, path prefix and client of X-Forwarded-* into the scope of each call.

    Of several values in a header the last counts: the one that the nearest proxy has added.
    """

    def __init__(self, app: ASGIApp, trusted: Container[str] = EveryAddress()) -> None:
        """`trusted` are the peers whose headers count."""
        self._app = app
        self._trusted = trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (scope.get("client") or ("",))[0] in self._trusted:
            scope = _apply_headers(scope)
        await self._app(scope, receive, send)


def _apply_headers(scope: Scope) -> Scope:
    headers = dict(scope["headers"])

    def value(name: str) -> str:
        text: str = headers.get(f"x-forwarded-{name}".encode(), b"").decode("latin-1")
        return text.rpartition(",")[2].strip()

    changed = dict(scope)
    if value("proto") in ("http", "https"):
        changed["scheme"] = value("proto")
    host = value("host")
    if value("port").isdigit() and host:
        host = f"{host.rpartition(':')[0] if host.rpartition(':')[2].isdigit() else host}:{value('port')}"
    if is_host(host.encode("latin-1")):
        others = [pair for pair in scope["headers"] if pair[0] != b"host"]
        changed["headers"] = [*others, (b"host", host.encode("latin-1"))]
    # What is no address leaves the proxy's own: otherwise a caller could pass for another with each call.
    address = client_address(value("for"))
    if address is not None:
        changed["client"] = (address, 0)
    if value("prefix").startswith("/"):
        prefix = value("prefix").rstrip("/")
        changed["root_path"] = prefix
    return changed


def client_address(text: str) -> str | None:
    """The address in a value of X-Forwarded-For, None if it holds none.

    Some proxies add the port of the connection (`192.0.2.1:5678`, `[2001:db8::1]:443`): it is left out, as is
    a zone, and an IPv4 address within an IPv6 one is that of IPv4: a caller always has the same text.
    """
    text = text.strip()
    found = _WITH_PORT.fullmatch(text)
    host = found["bracketed"] or found["plain"] or "" if found else text
    address = parse_address(host.partition("%")[0])
    return None if address is None else str(address)
