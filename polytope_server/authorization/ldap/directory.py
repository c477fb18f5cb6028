"""An LDAP server: a bounded number of connections, each look-up bounded in time and size.

Of the strategies of ldap3, REUSABLE has threads and queues of its own without a bound on waiting, and
SAFE_RESTARTABLE sleeps between attempts of which it makes many. So each look-up has a connection of the
strategy SAFE_SYNC to itself, and one that turns out to be dead is replaced once.
"""

from __future__ import annotations

import math
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeVar

from ldap3 import BASE, NONE, SAFE_SYNC, SUBTREE, Connection, Server, Tls
from ldap3.core.exceptions import LDAPException
from ldap3.core.results import (
    RESULT_INSUFFICIENT_ACCESS_RIGHTS,
    RESULT_INVALID_DN_SYNTAX,
    RESULT_NO_SUCH_OBJECT,
    RESULT_REFERRAL,
    RESULT_SIZE_LIMIT_EXCEEDED,
    RESULT_SUCCESS,
)

from polytope_server.authorization.ldap.settings import LDAPSettings

T = TypeVar("T")
#: Bytes that a server may send for one look-up.
_LARGEST = 1 << 20
#: Connections that were idle for longer may have been forgotten by a firewall, and are not used again.
_IDLE_SECONDS = 60.0
#: An entry that is elsewhere, gone or not ours to read. It must not keep anybody out, and gives nothing.
_NOT_THERE = frozenset(
    {RESULT_REFERRAL, RESULT_NO_SUCH_OBJECT, RESULT_INVALID_DN_SYNTAX, RESULT_INSUFFICIENT_ACCESS_RIGHTS}
)


class DirectoryError(Exception):
    """The server does not do what it was asked for. The message is for the log, and holds no secret."""


class Entry(NamedTuple):
    """An entry of the directory; `values` are by name in lower case, those that are no text left out."""

    dn: str
    values: Mapping[str, list[str]]

    def of(self, attribute: str) -> list[str]:
        """The values of an attribute."""
        return self.values.get(attribute.lower(), [])


class Found(NamedTuple):
    """What a search found; not `complete` if there is more than was asked for, or than the server gives."""

    entries: list[Entry]
    complete: bool


class _Limits:
    """Until when, and how much, a server may send for the look-up that uses the connection now."""

    def __init__(self, deadline: float) -> None:
        self.begin(deadline)

    def begin(self, deadline: float) -> None:
        self._deadline = deadline
        self._bytes = _LARGEST

    def left(self) -> float:
        """Seconds until the deadline. Raises TimeoutError if there are none."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("no answer in time")
        return left

    def count(self, size: int) -> None:
        self._bytes -= size
        if self._bytes < 0:
            raise DirectoryError(f"more than {_LARGEST} bytes for one look-up")


class _BoundedSocket:
    """A socket within limits. The time-outs of ldap3 start again with every piece of an answer."""

    def __init__(self, inner: socket.socket, limits: _Limits) -> None:
        self._inner = inner
        self._limits = limits

    def recv(self, size: int) -> bytes:
        self._inner.settimeout(self._limits.left())
        data = self._inner.recv(size)
        self._limits.count(len(data))
        return data

    def sendall(self, data: bytes) -> None:
        self._inner.settimeout(self._limits.left())
        self._inner.sendall(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class _Tls(Tls):
    """TLS as Python's own context does it, host names included; made once, and not for each connection."""

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__()
        self._context = context

    def wrap_socket(self, connection: Connection, do_handshake: bool = False) -> None:
        connection.socket = self._context.wrap_socket(
            connection.socket, server_hostname=connection.server.host
        )


class Session:
    """One connection, bound, used by one thread at a time."""

    def __init__(self, settings: LDAPSettings, context: ssl.SSLContext | None, deadline: float) -> None:
        """Connect and bind. Raises DirectoryError, LDAPException or OSError."""
        self._limits = _Limits(deadline)
        self._time_limit = math.ceil(settings.timeout)
        # A name may have several addresses, so the first must leave time for another.
        seconds = min(settings.timeout / 2, self._limits.left())
        # Connections cannot share it: that another one is connected would hide that this one is not.
        server = Server(
            settings.url,
            get_info=NONE,
            tls=None if context is None else _Tls(context),
            connect_timeout=seconds,
        )
        secret = settings.ldap_password
        self._connection = Connection(
            server,
            settings.ldap_user,
            None if secret is None else secret.get_secret_value(),
            client_strategy=SAFE_SYNC,
            auto_referrals=False,  # they would take the password to any server
            auto_escape=False,
            check_names=False,
            return_empty_attributes=False,
            read_only=True,
        )
        try:
            self._open(settings.start_tls)
        except BaseException:
            self.close()
            raise

    def _open(self, start_tls: bool) -> None:
        connection = self._connection
        connection.open(read_server_info=False)
        self._bound_socket()
        if start_tls:
            connection.start_tls(read_server_info=False)
            if not connection.tls_started:
                raise DirectoryError("StartTLS was not possible")
            self._bound_socket()
        connection.bind(read_server_info=False)
        if not connection.bound:
            raise DirectoryError(f"the bind was refused: {connection.result['description']}")

    def _bound_socket(self) -> None:
        self._connection.socket = _BoundedSocket(self._connection.socket, self._limits)

    def begin(self, deadline: float) -> None:
        """Use the connection for another look-up."""
        self._limits.begin(deadline)

    def close(self) -> None:
        """End the connection at once."""
        if self._connection.socket is not None:
            self._connection.socket.close()

    def search(self, base: str, filter_: str, attributes: Sequence[str], most: int) -> Found:
        """The entries below `base`, `most` at most. Raises DirectoryError, LDAPException or OSError."""
        code, description, entries = self._ask(base, filter_, SUBTREE, attributes, most)
        if code not in (RESULT_SUCCESS, RESULT_SIZE_LIMIT_EXCEEDED):
            raise DirectoryError(f"the search below {base!r} failed: {description}")
        return Found(entries, code == RESULT_SUCCESS)

    def read(self, dn: str, attribute: str) -> list[str]:
        """The values of an attribute of one entry; none if it is not there, or is not ours to read."""
        code, description, entries = self._ask(dn, "(objectClass=*)", BASE, [attribute], 1)
        if code in _NOT_THERE:
            return []
        if code != RESULT_SUCCESS:
            raise DirectoryError(f"{dn!r} could not be read: {description}")
        return entries[0].of(attribute) if entries else []

    def _ask(
        self,
        base: str,
        filter_: str,
        scope: Literal["BASE", "SUBTREE"],
        attributes: Sequence[str],
        most: int,
    ) -> tuple[int, str, list[Entry]]:
        _, result, response, _ = self._connection.search(
            base,
            filter_,
            scope,
            attributes=list(attributes),
            size_limit=most,
            time_limit=self._time_limit,
        )
        entries = [_entry(item) for item in response or () if item["type"] == "searchResEntry"]
        return result["result"], result["description"], entries


class Directory:
    """The connections to a server. Each look-up takes one; there are as many as there are threads."""

    def __init__(self, settings: LDAPSettings) -> None:
        """Connects to nothing yet. Raises OSError if the certificates to trust cannot be read."""
        self._settings = settings
        self._context = _context(settings) if settings.encrypted else None
        self._idle: deque[tuple[Session, float]] = deque()
        self._closed = False

    def ask(self, work: Callable[[Session], T], deadline: float) -> T:
        """What `work` makes of a session. Blocks until `deadline` (of time.monotonic) at most.

        Raises DirectoryError, LDAPException or OSError, and whatever an answer that is no LDAP brings about.
        """
        session = self._idle_session()
        if session is not None:
            session.begin(deadline)
            try:
                return self._through(session, work)
            except (LDAPException, OSError):
                # Ended while it was idle, most likely: the server was restarted.
                if time.monotonic() >= deadline:
                    raise
        return self._through(Session(self._settings, self._context, deadline), work)

    def close(self) -> None:
        """End the connections; those in use when they come back."""
        self._closed = True
        while self._idle:
            self._idle.pop()[0].close()

    def _through(self, session: Session, work: Callable[[Session], T]) -> T:
        try:
            done = work(session)
        except BaseException:
            session.close()
            raise
        self._idle.append((session, time.monotonic()))
        if self._closed:
            self.close()
        return done

    def _idle_session(self) -> Session | None:
        while True:
            try:
                session, since = self._idle.pop()
            except IndexError:
                return None
            if time.monotonic() - since < _IDLE_SECONDS:
                return session
            session.close()


def _context(settings: LDAPSettings) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=settings.ca_file)
    if not settings.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _entry(item: Mapping[str, Any]) -> Entry:
    values: dict[str, list[str]] = {}
    for name, raw in item["raw_attributes"].items():
        values[name.lower()] = [text for value in raw if (text := _text(value)) is not None]
    return Entry(item["dn"], values)


def _text(value: bytes) -> str | None:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None
