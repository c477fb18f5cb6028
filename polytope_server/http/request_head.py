"""What is wrong with the head of a call that its parser has taken (RFC 9110 and RFC 9112)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

_VERSIONS = frozenset({"1.0", "1.1", "2", "3"})
#: HOST or HOST:PORT (RFC 9110, 7.2). No host of a network has the other characters that RFC 3986 allows.
_HOST = re.compile(rb"(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+(?:%[A-Za-z0-9%._~-]+)?\])(?::[0-9]{0,5})?")


class Fault(NamedTuple):
    """Why a call is refused."""

    status: int
    reason: str


def find_fault(scope: Mapping[str, Any]) -> Fault | None:
    """The fault in the head of a call, None if it has none."""
    version = scope["http_version"]
    if version not in _VERSIONS:
        # The parser lets `GET / HTTP/2.0` pass, and Falcon raises an exception.
        return Fault(400, "This version of HTTP is not supported")
    if not scope["path"].startswith("/") and not is_about_server(scope):
        return Fault(400, "The target of the call is not a path")
    hosts: list[bytes] = []
    codings: list[bytes] = []
    for name, value in scope["headers"]:
        if name == b"host":
            hosts.append(value)
        elif name == b"transfer-encoding":
            codings += value.lower().split(b",")
    return _find_fault_of_host(hosts, version) or (
        _find_fault_of_codings(codings, version) if codings else None
    )


def is_about_server(scope: Mapping[str, Any]) -> bool:
    """Whether it is `OPTIONS *`: a question about the server as a whole."""
    return bool(scope["method"] == "OPTIONS" and scope["path"] == "*")


def is_host(value: bytes) -> bool:
    """Whether it is a value of the header Host: HOST or HOST:PORT."""
    return _HOST.fullmatch(value) is not None


def _find_fault_of_host(hosts: list[bytes], version: str) -> Fault | None:
    if len(hosts) == 1 and is_host(hosts[0]):
        return None
    if not hosts:
        return None if version == "1.0" else Fault(400, "The header Host is missing")
    if len(hosts) > 1:
        return Fault(400, "There is more than one header Host")
    return Fault(400, "The header Host is not HOST or HOST:PORT")


def _find_fault_of_codings(codings: list[bytes], version: str) -> Fault | None:
    if version == "1.0":
        # Servers before this one may see the end of the body elsewhere (RFC 9112, 6.1).
        return Fault(400, "HTTP/1.0 knows no header Transfer-Encoding")
    if [name for coding in codings if (name := coding.strip())] != [b"chunked"]:
        return Fault(501, "The only Transfer-Encoding that is supported is chunked")
    return None
