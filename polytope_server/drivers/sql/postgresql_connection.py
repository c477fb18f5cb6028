"""Connections to PostgreSQL: from an address to the arguments of psycopg, and which of them are alive."""

from __future__ import annotations

import asyncio
import os
import re
import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from polytope_server.drivers.sql import POSTGRESQL, DatabaseUnavailableError
from polytope_server.settings.addresses import is_host, is_server

Driver = psycopg.AsyncConnection[Any]

#: What an address need not say; it may say otherwise. Times in seconds, but for those that name another unit.
_DEFAULTS = {
    "application_name": "polytope-server",
    "connect_timeout": "3",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "2",
    "tcp_user_timeout": "5000",  # milliseconds
    "options": "-c statement_timeout=5s -c idle_in_transaction_session_timeout=10s "
    "-c default_transaction_isolation=read\\ committed",
}
#: User and password, before the server.
_CREDENTIALS = re.compile(r"([^:/]*)(?::([^@]*))?@")
#: How libpq says that it does not know an option of an address.
_UNKNOWN_OPTION = "invalid URI query parameter"


def connect_arguments(url: str) -> dict[str, Any]:
    """What psycopg needs to connect to the database of an address.

    Raises ValueError, with a text that does not repeat the address.
    """
    try:
        if not url.startswith(POSTGRESQL):
            raise ValueError("another scheme")
        arguments: dict[str, Any] = {**_DEFAULTS, **conninfo_to_dict(_for_driver(url))}
        make_conninfo(**arguments)
        if "@" in arguments.get("host", ""):
            raise ValueError("what is taken for the host is the end of a password")
        if not _are_servers(arguments.get("host", ""), str(arguments.get("port", ""))):
            raise ValueError("what is taken for the server is none")
    except (psycopg.Error, ValueError) as error:
        # Of the errors, only that about an option that does not exist holds no part of the address.
        text = first_line(error)
        reason = f" ({text})" if text.startswith(_UNKNOWN_OPTION) else ""
        raise ValueError(
            "this is no address of a PostgreSQL database: expected postgresql://USER:PASSWORD@HOST:PORT/"
            f"DATABASE?OPTIONS, with special characters of USER and PASSWORD as %XX{reason}"
        ) from None
    return arguments


def _for_driver(url: str) -> str:
    """An address as libpq takes it: it is stricter than browsers are with special characters."""
    rest = url.partition("://")[2]
    credentials = ""
    if found := _CREDENTIALS.match(rest):
        # Only one `@` must be written as %40.
        credentials = ":".join(quote(unquote(part), safe="") for part in found.groups() if part is not None)
        credentials, rest = f"{credentials}@", rest[found.end() :]
    server, _, query = rest.partition("?")
    options = parse_qsl(query, keep_blank_values=True, strict_parsing=True) if query else []
    if "://" in server or len(dict(options)) < len(options):
        raise ValueError("libpq would take a part of it, and leave the rest")
    return f"postgresql://{credentials}{server}?{urlencode(options, quote_via=quote)}"


def _are_servers(hosts: str, ports: str) -> bool:
    """Whether libpq finds servers there; it takes several. No host, or a folder, is a local socket."""
    return all(not host or host.startswith("/") or is_host(host) for host in hosts.split(",")) and all(
        not port or is_server(f"localhost:{port}") for port in ports.split(",")
    )


def server_name(arguments: dict[str, Any]) -> str:
    """How messages name the database of these arguments."""
    where = arguments.get("host", "the local socket")
    port = f":{arguments['port']}" if "port" in arguments else ""
    return f"PostgreSQL at {where}{port}/{arguments.get('dbname', '')}"


@contextmanager
def failures_of(server: str) -> Iterator[None]:
    """Turns what psycopg raises into :class:`DatabaseUnavailableError`; `server` names the server in it."""
    try:
        yield
    except (psycopg.Error, OSError) as error:
        raise DatabaseUnavailableError(f"{server}: {first_line(error)}") from error


def first_line(error: BaseException | None) -> str:
    """What the driver says is wrong, without its advice."""
    return str(error).partition("\n")[0]


def is_alive(connection: Driver) -> bool:
    """Whether the server has not ended an idle connection.

    PERF: nothing is to be read from one that is idle, but for the news of its end: that takes no question to
    the server before each statement.
    """
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return not poll.poll(0)


@contextmanager
def answering(connection: Driver, seconds: float) -> Iterator[None]:
    """Ends a connection whose server does not answer in time: what waits for it fails at once.

    To cancel the task instead would have the driver ask that same server, and wait, to cancel the statement.
    """
    timer = asyncio.get_running_loop().call_later(seconds, _hang_up, connection)
    try:
        yield
    finally:
        timer.cancel()


def _hang_up(connection: Driver) -> None:
    with suppress(psycopg.Error, OSError), socket.socket(fileno=os.dup(connection.fileno())) as peer:
        peer.shutdown(socket.SHUT_RDWR)
