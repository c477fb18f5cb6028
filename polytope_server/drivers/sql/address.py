"""Addresses of databases: which are some, and which database one names."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from polytope_server.drivers.sql import POSTGRESQL, Database
from polytope_server.drivers.sql.sqlite import SQLite
from polytope_server.settings.packages import explain_missing

_SQLITE = "sqlite:///"


def database_at(url: str | None, data: Path) -> Database:
    """The database of a checked `url`, by default the file `polytope.sqlite` in the folder `data`."""
    if url is not None and url.startswith(POSTGRESQL):
        # Imported when it is asked for: its driver is an extra.
        from polytope_server.drivers.sql.postgresql import PostgreSQL

        return PostgreSQL.of(url)
    return SQLite.of(Path(url.removeprefix(_SQLITE)) if url else data / "polytope.sqlite")


def check_url(url: str) -> str:
    """The address of a database as it is, if it is one. Raises ValueError, with a text for the operator."""
    if url.startswith(POSTGRESQL):
        try:
            from polytope_server.drivers.sql.postgresql import PostgreSQL
        except ImportError as error:
            raise ValueError(
                f"PostgreSQL {explain_missing(error.name or 'psycopg', 'postgresql')}"
            ) from error
        PostgreSQL(url)
    elif not url.startswith(_SQLITE) or url == _SQLITE:
        raise ValueError(
            "the address of a database is written sqlite:///PATH, or postgresql://USER:PASSWORD@HOST:PORT/"
            "DATABASE with special characters of USER and PASSWORD as %XX"
        )
    return url


DatabaseURL = Annotated[str, AfterValidator(check_url)]

URL_DESCRIPTION = (
    "Address of the database: `sqlite:///PATH`, or `postgresql://USER:PASSWORD@HOST:PORT/DATABASE`, to which "
    "options of libpq can be added (`?sslmode=verify-full`); by default the file polytope.sqlite in the "
    "data folder."
)


class SQLSettings(BaseModel):
    """Keys of every back-end of type `sql`."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
    url: DatabaseURL | None = Field(None, repr=False, description=URL_DESCRIPTION)
