"""SQL databases behind one interface: SQLite, embedded, for one machine; PostgreSQL for several.

What keeps something in a database writes one text of each statement for both, with parameters written
`:name`; where they differ, it asks the :class:`Dialect` of its database. The drivers are imported in
`sqlite.py` and `postgresql.py` only, the latter when it is asked for.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from polytope_server.runtime.unavailable import UnavailableError

#: The values of the columns, in the order in which the statement names them.
Row = Sequence[Any]
Parameters = Mapping[str, Any]
#: A statement and its parameters.
Statement = tuple[str, Parameters]

#: How an address of PostgreSQL begins.
POSTGRESQL = ("postgresql://", "postgresql+psycopg://", "postgres://")


class DatabaseUnavailableError(UnavailableError):
    """The database cannot be read or written at the moment: it is down, full, damaged, or refuses us."""


@contextmanager
def failing_with(kind: type[UnavailableError]) -> Iterator[None]:
    """A context for operations: a :class:`DatabaseUnavailableError` becomes an error of `kind`."""
    try:
        yield
    except DatabaseUnavailableError as error:
        raise kind(str(error)) from error


class UniqueViolationError(ValueError):
    """A row was not written because another has the same key already."""


class Outcome(NamedTuple):
    """What a statement did: the rows that it returned, and how many it inserted, changed or deleted."""

    rows: list[Row]
    changed: int


class Column(NamedTuple):
    """A column that is added to a table; `definition` is its type, in braces, and its default."""

    table: str
    name: str
    definition: str

    def statement(self, dialect: Dialect) -> str:
        """What adds it to a table that has no such column yet."""
        return (
            f'ALTER TABLE {self.table} ADD COLUMN "{self.name}" {self.definition.format_map(dialect.types)}'
        )


@dataclass(frozen=True)
class Schema:
    """Tables and indexes of one concern: statements with semicolons between them, safe to run again.

    Fields in braces stand for the :attr:`Dialect.types` of a database. `version` grows with each change;
    `needs` says who can work on it (:mod:`polytope_server.drivers.schema_version`). `added` are columns that
    a later version has added, in new databases and in those that exist: a process of an earlier version goes
    on beside it, so each needs a default. `indexes` are statements that need those columns.
    """

    name: str
    version: int
    text: str
    added: tuple[Column, ...] = ()
    needs: int = 1
    indexes: str = ""

    def statements(self, dialect: Dialect) -> list[str]:
        """The statements for one kind of database, before the columns of `added`."""
        return _split(self.text.format_map(dialect.types))

    def further_statements(self) -> list[str]:
        """Those after them."""
        return _split(self.indexes)


def _split(text: str) -> list[str]:
    return [statement.strip() for statement in text.split(";") if statement.strip()]


#: The table with the version of each schema; `needs` came later, to tables that were there.
VERSIONS = "schema_versions"
CREATE_VERSIONS = (
    "CREATE TABLE IF NOT EXISTS schema_versions "
    "(name TEXT PRIMARY KEY, version INTEGER NOT NULL, needs INTEGER NOT NULL DEFAULT 1)"
)
#: What is newer stays.
RECORD_VERSION = (
    "INSERT INTO schema_versions (name, version, needs) VALUES (:name, :version, :needs) ON CONFLICT (name) "
    "DO UPDATE SET version = excluded.version, needs = excluded.needs "
    "WHERE schema_versions.version < excluded.version"
)


def recorded(schema: Schema) -> dict[str, Any]:
    """The parameters of :data:`RECORD_VERSION`."""
    return {"name": schema.name, "version": schema.version, "needs": schema.needs}


class Dialect(ABC):
    """Where the SQL of two databases differs."""

    #: What the fields of a :class:`Schema` stand for: the types `sequence` (a key that grows), `text`
    #: (compared by code points), `integer` (64 bits), `real` (double precision) and `bytes`, and
    #: `by_key`, after the columns of a table that is kept in the order of its key.
    types: ClassVar[Mapping[str, str]]
    #: The time by the database's clock, in seconds since the epoch.
    clock: ClassVar[str]
    #: The same, as it was when the statement began: of one value wherever it stands in the statement.
    began: ClassVar[str]
    #: After a SELECT: what it found stays as it is until the transaction ends.
    held: ClassVar[str]
    #: The size of a text in bytes: a format of one expression.
    octets: ClassVar[str]
    #: A condition that is true; on a server that only follows another one it fails.
    on_primary: ClassVar[str]

    @abstractmethod
    def among(self, expression: str, name: str) -> str:
        """The condition that a text is among those of the parameter `name`, made by :meth:`listed`."""

    @abstractmethod
    def listed(self, texts: Sequence[str]) -> Any:
        """Any number of texts as one parameter: a statement stays the same for any number of them."""

    @abstractmethod
    def not_sought(self, column: str) -> str:
        """A column, in a condition by which the database must not look for rows."""

    @abstractmethod
    def by_index(self, table: str, index: str) -> str:
        """A table, in a query that is to read it by that index."""

    @abstractmethod
    def with_default(self, column: str, key: str, value: str) -> str:
        """The JSON object of a column, with a number for the key in the parameter `key`, if it had none.

        `value` is an expression.
        """

    @abstractmethod
    def merged(self, queries: Sequence[str], order: str) -> str:
        """The first rows of several queries together, as many as the parameter `limit` says, in that order.

        For each query an index has its rows in this order: no more of them are read than that.
        """

    @abstractmethod
    def in_order(self, table: str, key: str, where: str) -> str:
        """The condition `where`, of a statement that changes several rows, so that they are locked by `key`.

        Two such statements then wait for each other, never both.
        """


class Database(ABC):
    """One database, shared by everything in this thread that keeps something there.

    It belongs to the event loop in which it was opened. Every method may raise
    :class:`DatabaseUnavailableError`, with a text for the log.
    """

    dialect: Dialect

    @abstractmethod
    async def open(self, schema: Schema) -> None:
        """Connect, and create what of `schema` is missing; one of a newer version stays as it is.

        May be called by several users of the database; each calls :meth:`close` in the end, unless this
        has failed. Raises :class:`~polytope_server.drivers.schema_version.IncompatibleSchemaError`.
        """

    @abstractmethod
    async def close(self) -> None:
        """Finish pending writes and disconnect, when the last user closes."""

    @abstractmethod
    async def read(self, sql: str, parameters: Parameters | None = None) -> list[Row]:
        """The rows of a short, indexed query."""

    @abstractmethod
    async def read_aside(self, sql: str, parameters: Parameters | None = None) -> list[Row]:
        """The few rows of a query that may take long, for example a count: nothing else waits for it."""

    @abstractmethod
    async def read_first(self, sql: str, parameters: Parameters, size: int) -> list[Row]:
        """The first rows of a query, until their texts have `size` characters: one row at least.

        A few more may be returned, but no more than 16 are in memory beyond that size.
        """

    @abstractmethod
    async def write_all(self, statements: Sequence[Statement]) -> list[Outcome]:
        """Run statements as one transaction; their outcomes once they are durable.

        Raises :class:`UniqueViolationError`; nothing is changed then.
        """

    async def write(self, sql: str, parameters: Parameters | None = None) -> Outcome:
        """Run one statement likewise."""
        return (await self.write_all([(sql, parameters or {})]))[0]


def text_size(row: Row) -> int:
    """How many characters the texts of a row have."""
    return sum(len(value) for value in row if isinstance(value, str))
