"""Where a process listens for management, as its configuration and its environment say."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import NamedTuple

from polytope_server.runtime.management import VARIABLE
from polytope_server.settings import ConfigurationError
from polytope_server.settings.management import ManagementSettings

_LARGEST_PORT = 65535
_THIS_MACHINE, _EVERY_ADDRESS = "127.0.0.1", "0.0.0.0"  # noqa: S104 -- in a container others must reach it
_BACKLOG = 128


class Address(NamedTuple):
    """A host name or address, and a port that is not 0."""

    host: str
    port: int


def address(settings: ManagementSettings, environment: Mapping[str, str] = os.environ) -> Address | None:
    """Where to listen, None for nowhere. Raises ConfigurationError if the environment names no port."""
    named = _read_variable(environment)
    port = settings.port if settings.port is not None else named
    if not port:
        return None
    return Address(settings.host or (_THIS_MACHINE if named is None else _EVERY_ADDRESS), port)


def listen(settings: ManagementSettings, path: str) -> socket.socket | None:
    """A socket that listens there, None if there is to be none.

    `path` is where the settings are in the configuration, for messages. Raises ConfigurationError if it
    cannot be bound.
    """
    found = address(settings)
    if found is None:
        return None
    try:
        family, kind, protocol, _, bound = socket.getaddrinfo(*found, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(bound)
            listener.listen(_BACKLOG)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        source = f"{path}.port" if settings.port is not None else VARIABLE
        reason = f"cannot listen on {found.host}, port {found.port} ({source}): {error.strerror}"
        raise ConfigurationError([reason]) from error
    listener.setblocking(False)
    return listener


def _read_variable(environment: Mapping[str, str]) -> int | None:
    text = environment.get(VARIABLE, "").strip()
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and int(text) <= _LARGEST_PORT):
        raise ConfigurationError([f"{VARIABLE} is {text!r}: expected a port, 0 for none"])
    return int(text)
