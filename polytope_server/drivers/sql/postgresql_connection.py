"""Connections to PostgreSQL: from an address to the arguments of psycopg, and which of them are alive."""

from __future__ import annotations

import asyncio
import os
import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

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


def connect_arguments(url: str) -> dict[str, Any]:
    """What psycopg needs to connect to the database of an address.

    Raises ValueError, with a text that does not repeat the address.
    """
    try:
        if not url.startswith(POSTGRESQL):
            raise ValueError("another scheme")
        address = make_url(url).set(drivername="postgresql+psycopg")
        named = address.get_dialect()().create_connect_args(address)[1]
        arguments: dict[str, Any] = {**_DEFAULTS, **named}
        make_conninfo(**arguments)
        if "@" in arguments.get("host", ""):
            raise ValueError("what is taken for the host is the end of a password")
        if not _are_servers(arguments.get("host", ""), str(arguments.get("port", ""))):
            raise ValueError("what is taken for the server is none")
    except (SQLAlchemyError, psycopg.Error, ValueError) as error:
        # Of the errors, only that of libpq about an option that does not exist holds no part of the address.
        reason = f" ({error})" if isinstance(error, psycopg.ProgrammingError) else ""
        raise ValueError(
            "this is no address of a PostgreSQL database: expected postgresql://USER:PASSWORD@HOST:PORT/"
            f"DATABASE?OPTIONS, with special characters of USER and PASSWORD as %XX{reason}"
        ) from None
    return arguments


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
