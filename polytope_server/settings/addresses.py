"""Addresses in the configuration, checked: `urlsplit` alone accepts almost anything, even `http://http://x`."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, BeforeValidator

#: Underscores, too, which names of services in containers may have.
_NAME = re.compile(r"\w(?:[\w-]*\w)?(?:\.\w(?:[\w-]*\w)?)*\.?")
#: A variable of the environment that is not set here: what it will say cannot be judged.
_VARIABLE = re.compile(r"\$(?:\w+|\{\w+\})")
_LONGEST_NAME, _LARGEST_PORT = 253, 65535
_SERVER = re.compile(r"(?P<host>\[[^\[\]]*\]|[^:\[\]]*)(?::(?P<port>[0-9]{1,5}|\$\w+|\$\{\w+\}))?")
_ADDRESS = re.compile(
    r"(?:(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://)?(?P<server>[^\s/?#@]+)(?P<path>/[^\s?#]*)?"
    r"(?P<query>\?[^\s#]*)?"
)


class Parts(NamedTuple):
    """The parts of an address; empty where it has none."""

    scheme: str
    #: HOST or HOST:PORT.
    server: str
    path: str
    query: str


def is_host(text: str) -> bool:
    """Whether it is the name or the address of a host, an IPv6 address with brackets or without."""
    bracketed = text.startswith("[") and text.endswith("]")
    if ":" in text or bracketed:
        return _is_address(text[1:-1] if bracketed else text, 6)
    if text.replace(".", "").isdecimal():
        return _is_address(text, 4)
    text = _VARIABLE.sub("x", text)
    return len(text) <= _LONGEST_NAME and _NAME.fullmatch(text) is not None


def is_server(text: str) -> bool:
    """Whether it is HOST or HOST:PORT."""
    found = _SERVER.fullmatch(text)
    if found is None or not is_host(found["host"]):
        return False
    port = found["port"] or "1"
    return not port.isdecimal() or 0 < int(port) <= _LARGEST_PORT


def parts_of(address: str) -> Parts | None:
    """The parts of an address, None if it is none: neither user nor fragment, no space, no second address."""
    found = _ADDRESS.fullmatch(address)
    if found is None or not is_server(found["server"]) or "//" in (found["path"] or ""):
        return None
    return Parts(*(part or "" for part in found.groups()))


def server_in(address: str) -> str:
    """What is between the scheme and the path of an address, whatever it is: USER:PASSWORD@HOST:PORT."""
    return re.split("[/?#]", address.partition("://")[2], maxsplit=1)[0]


def _is_address(text: str, version: int) -> bool:
    try:
        return ipaddress.ip_address(text.partition("%")[0]).version == version
    except ValueError:
        return False


def _host(text: str) -> str:
    if not is_host(text):
        raise ValueError("expected the name or address of a host, without scheme and port")
    return text


def _http(address: str) -> str:
    if "@" in server_in(address) or "#" in address:
        # It is logged when the service is down.
        raise ValueError("an address has no user, password or fragment")
    parts = parts_of(address)
    if parts is None or parts.scheme.lower() not in ("http", "https"):
        raise ValueError("expected an address such as https://service.example.org")
    return address


def _base(address: str) -> str:
    if "?" in address:
        raise ValueError("the address is a base, to which a path is added: it has no query")
    return address


def _server(text: str) -> str:
    if not is_server(text):
        raise ValueError("expected HOST or HOST:PORT, such as polytope.example.org, without a scheme")
    return text


#: A host by name or address, and nothing else.
Host = Annotated[str, AfterValidator(_host)]
#: HOST or HOST:PORT.
HostAndPort = Annotated[str, AfterValidator(_server)]
#: A host to listen on; an empty one is every address, as sockets take it.
BindAddress = Annotated[Host, BeforeValidator(lambda value: "0.0.0.0" if value == "" else value)]  # noqa: S104
#: What a GET can be sent to.
HTTPAddress = Annotated[str, AfterValidator(_http)]
#: To which paths are added.
HTTPBase = Annotated[str, AfterValidator(_base), AfterValidator(_http)]
