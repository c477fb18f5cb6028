"""A collection of MongoDB, for what is known about credentials."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from pydantic import ConfigDict, Field
from pymongo.asynchronous.collection import AsyncCollection

from polytope_server.accounts.errors import failing_without_details
from polytope_server.drivers.mongodb import (
    Connection,
    Document,
    MongoDBHostSettings,
    MongoDBUnavailableError,
)


class CredentialSettings(MongoDBHostSettings):
    """Keys of everything that keeps credentials in MongoDB, beside `collection`."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, hide_input_in_errors=True)
    database: str = Field("polytope", min_length=1, description="Name of the database.")


class CredentialCollection:
    """A collection whose failures are `AuthenticationUnavailableError`."""

    def __init__(self, settings: CredentialSettings, name: str) -> None:
        self._connection = Connection.at(settings)
        self._names = (settings.database, name)

    async def open(self, prepare: Callable[[], Awaitable[object]]) -> None:
        """Connect, log in, and await `prepare()`."""

        async def check() -> None:
            await self._connection.collection(*self._names).database.command("ping")
            await prepare()

        with failing_without_details(MongoDBUnavailableError):
            await self._connection.open(check)

    async def close(self) -> None:
        """Disconnect, when the last user of the connection closes."""
        await self._connection.close()

    @contextmanager
    def use(self) -> Iterator[AsyncCollection[Document]]:
        """The collection, for operations within the context."""
        with (
            failing_without_details(MongoDBUnavailableError),
            self._connection.failing_with(MongoDBUnavailableError),
        ):
            yield self._connection.collection(*self._names)
