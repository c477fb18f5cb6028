"""MongoDB as the database of several concerns: one client in each event loop for each server and account.

A back-end asks for its connection with :meth:`Connection.at`, opens it, and gets its collections there.
The driver keeps a pool of connections to the servers, and finds a new primary, or a server that is back, by
itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from types import TracebackType
from typing import Any, ClassVar
from urllib.parse import parse_qsl

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pymongo import AsyncMongoClient, IndexModel, timeout
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import (
    DuplicateKeyError,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)
from pymongo.uri_parser import parse_uri

from polytope_server.drivers.instances import Instances
from polytope_server.runtime.unavailable import UnavailableError
from polytope_server.settings.addresses import is_host, server_in
from polytope_server.settings.values import Port

#: A document as the driver reads and writes it.
Document = dict[str, Any]

#: Milliseconds for an operation, with all that belongs to it: the search for a server, a connection, and
#: repetitions by the driver. That long a call waits for a server that is down, or for a new primary.
_OPERATION_TIME = 4000
#: Options that an address may change.
_DEFAULTS: dict[str, Any] = {
    "appName": "polytope-server",
    "connectTimeoutMS": _OPERATION_TIME,
    "maxPoolSize": 64,
    "timeoutMS": _OPERATION_TIME,
}
#: Options that make what was written durable, and seen by the next reader; no address changes them.
_DURABLE: dict[str, Any] = {"w": "majority", "journal": True, "readPreference": "primary"}
#: Seconds for the end of a client.
_CLOSING_TIME = 5.0
#: Seconds for an index on a collection that has many documents already.
_INDEX_TIME = 600.0
_SCHEMES = ("mongodb://", "mongodb+srv://")
_EXPECTED = (
    "this is no address of a MongoDB server, or has options that do not exist: expected "
    "mongodb://USER:PASSWORD@HOST:PORT/?OPTIONS, with special characters of USER and PASSWORD written as "
    "%XX, or without them where `username` and `password` give them as they are"
)
_LONGEST_REASON = 300
#: How the name of a local socket ends, as the driver has it.
_SOCKET = ".sock"


class MongoDBUnavailableError(UnavailableError):
    """MongoDB cannot be reached at the moment, or refuses the account."""


class MongoDBSettings(BaseModel):
    """Keys of every back-end of type `mongodb`."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
    uri: str = Field(
        "mongodb://localhost:27017",
        repr=False,
        description="Address of the server or replica set: `mongodb://HOST:PORT,HOST:PORT/?replicaSet=NAME`, "
        "or `mongodb+srv://NAME`. TLS (`tls=true`, `tlsCAFile=PATH`), `authSource` and time-outs are options "
        "of the address.",
    )
    username: str | None = Field(
        None, description="Account of the server, as it is; by default that of the address, or none."
    )
    password: str | None = Field(None, repr=False, description="Its password, as it is.")

    @field_validator("uri")
    @classmethod
    def _is_an_address(cls, uri: str) -> str:
        if not uri.startswith(_SCHEMES):
            raise ValueError("expected the address of a MongoDB server, such as mongodb://localhost:27017")
        # The other scheme cannot be read without asking a name server.
        if uri.startswith(_SCHEMES[0]):
            try:
                hosts = [host for host, _ in parse_uri(uri)["nodelist"]]
            except (PyMongoError, ValueError):  # whose texts may hold a part of the password
                raise ValueError(_EXPECTED) from None
        else:
            # The driver would look it up now; here a server need not be known yet.
            hosts = [server_in(uri).rpartition("@")[2]]
        if not all(is_host(host) or host.endswith(_SOCKET) for host in hosts):
            raise ValueError(_EXPECTED)
        return uri

    @field_validator("username", "password")
    @classmethod
    def _empty_is_none(cls, value: str | None) -> str | None:
        return value or None

    @model_validator(mode="after")
    def _account(self) -> MongoDBSettings:
        if self.password is not None and self.username is None:
            raise ValueError("a password needs a username")
        return self


class MongoDBHostSettings(MongoDBSettings):
    """The same, with the keys by which the earliest servers named the server."""

    host: str | None = Field(
        None, repr=False, description="Host of the server, or its address; `uri` can say more."
    )
    port: Port = Field(27017, description="Port of the server, if `host` names none.")

    @model_validator(mode="before")
    @classmethod
    def _address(cls, keys: Any) -> Any:
        """The `uri` that `host` and `port` stand for."""
        if not isinstance(keys, dict) or not isinstance(keys.get("host"), str):
            return keys
        if keys.get("uri") is not None:
            raise ValueError("give either `uri`, or `host` and `port`")
        host, port = keys["host"], keys.get("port", 27017)
        scheme = next((scheme for scheme in _SCHEMES if host.startswith(scheme)), "")
        rest = host.removeprefix(scheme)
        complete = scheme == _SCHEMES[1] or any(sign in rest.rpartition("@")[2] for sign in ":/,?")
        return {**keys, "uri": f"{scheme or _SCHEMES[0]}{rest}" + ("" if complete else f":{port}")}


class Connection:
    """The client of one server and account, shared by everything in this thread that keeps something there.

    It belongs to the event loop in which it was opened.
    """

    _instances: ClassVar[Instances[Connection]] = Instances()

    def __init__(self, settings: MongoDBSettings) -> None:
        self._settings = settings
        #: The hosts, for messages: without user and password.
        self.server = settings.uri.partition("://")[2].rpartition("@")[2].partition("/")[0].partition("?")[0]
        self._users = 0
        self._client: AsyncMongoClient[Document] | None = None

    @classmethod
    def at(cls, settings: MongoDBSettings) -> Connection:
        """The connection to the server, and of the account, that the settings name."""
        key = (settings.uri, settings.username, settings.password)
        return cls._instances.get(key, lambda: cls(settings))

    async def open(self, prepare: Callable[[], Awaitable[object]] | None = None) -> None:
        """Make the client if there is none yet, and await `prepare()`, for example to create indexes.

        The driver connects when it is used first: without `prepare` this succeeds while the server is down.
        May be called by several users of the connection; each calls :meth:`close` in the end, unless this
        has failed. Raises :class:`MongoDBUnavailableError`, and whatever `prepare` raises.
        """
        if self._client is None:
            with self.failing_with(MongoDBUnavailableError):
                self._client = self._make_client()
        self._users += 1
        try:
            if prepare is not None:
                with self.failing_with(MongoDBUnavailableError):
                    await prepare()
        except BaseException:
            await self.close()
            raise

    def _make_client(self) -> AsyncMongoClient[Document]:
        named = {name.lower() for name, _ in parse_qsl(self._settings.uri.partition("?")[2])}
        options = {name: value for name, value in _DEFAULTS.items() if name.lower() not in named}
        if self._settings.username is not None:
            options |= {"username": self._settings.username, "password": self._settings.password}
        return AsyncMongoClient(self._settings.uri, **options, **_DURABLE)

    async def close(self) -> None:
        """Disconnect, when the last user closes."""
        self._users -= 1
        if self._users == 0 and self._client is not None:
            client, self._client = self._client, None
            # Not awaited as such: before Python 3.12 the driver may swallow a cancellation of its own tasks,
            # and wait for them for ever.
            await asyncio.wait([asyncio.ensure_future(client.close())], timeout=_CLOSING_TIME)

    def collection(self, database: str, name: str) -> AsyncCollection[Document]:
        """A collection: its reads are from the primary, its writes durable on a majority of the members.

        Of use until the connection is closed. Raises :class:`MongoDBUnavailableError` if it is not open.
        """
        return self._opened()[database][name]

    async def is_replicated(self) -> bool:
        """Whether the server belongs to a replica set, or leads to some: only those report changes.

        Raises :class:`MongoDBUnavailableError`.
        """
        with self.failing_with(MongoDBUnavailableError):
            answer = await self._opened().admin.command("hello")
        return "setName" in answer or answer.get("msg") == "isdbgrid"

    def _opened(self) -> AsyncMongoClient[Document]:
        if self._client is None:
            raise MongoDBUnavailableError(f"the connection to MongoDB at {self.server} is not open")
        return self._client

    def failing_with(self, kind: type[UnavailableError]) -> Operations:
        """A context for operations: an error of the driver becomes one of `kind`, with a text for the log.

        A :class:`~pymongo.errors.DuplicateKeyError`, which is an answer, passes.
        """
        return Operations(self, kind)

    def explain(self, error: PyMongoError) -> str:
        """What is wrong and where, for the log; without the driver's long account of all that it knows."""
        return f"MongoDB at {self.server}: {_reason(error)}"


async def create_indexes(
    collection: AsyncCollection[Document], indexes: Iterable[IndexModel], may_be_building: bool = False
) -> None:
    """Create those indexes of whose name there is none; others of the collection stay.

    Where all are there, as with nearly every start of a process, that costs the server one short read. With
    `may_be_building` all are asked for: one that another process has begun has a name, and cannot be used
    yet, and this call waits for it. Raises what the driver raises.
    """
    existing = {} if may_be_building else await collection.index_information()
    missing = [index for index in indexes if index.document["name"] not in existing]
    if missing:
        with timeout(_INDEX_TIME):
            await collection.create_indexes(missing)


class Operations:
    """See :meth:`Connection.failing_with`. A class, because that costs a third of a generator.

    It also sees to it that a task that is cancelled ends: the driver uses `asyncio.wait_for()`, which before
    Python 3.12 swallows a cancellation that comes together with what it waits for.
    """

    __slots__ = ("_cancellations", "_connection", "_kind")

    def __init__(self, connection: Connection, kind: type[UnavailableError]) -> None:
        self._connection = connection
        self._kind = kind

    def __enter__(self) -> None:
        self._cancellations = _cancellations()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, asyncio.CancelledError):
            return
        if _cancellations() > self._cancellations:
            raise asyncio.CancelledError from error
        if isinstance(error, MongoDBUnavailableError) and not isinstance(error, self._kind):
            raise self._kind(str(error)) from error
        if isinstance(error, PyMongoError) and not isinstance(error, DuplicateKeyError):
            raise self._kind(self._connection.explain(error)) from error


def _cancellations() -> int:
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


def _reason(error: PyMongoError) -> str:
    if isinstance(error, OperationFailure) and error.details:
        details = [error.details, *error.details.get("writeErrors", ()), *_concerns(error.details)]
        text = next((str(found["errmsg"]) for found in details if found.get("errmsg")), str(error))
    else:
        text = str(error)
    if isinstance(error, ServerSelectionTimeoutError):
        text = text.partition(", Timeout:")[0]
    for tail in (", full error:", " (configured timeouts:"):
        text = text.partition(tail)[0]
    return text[:_LONGEST_REASON]


def _concerns(details: Any) -> list[Any]:
    concerns = details.get("writeConcernErrors") or [details.get("writeConcernError")]
    return [concern for concern in concerns if concern]
