"""The errors of SQLite, as those of a database."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from polytope_server.drivers.sql import DatabaseUnavailableError, UniqueViolationError

_UNIQUE = {sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY}


def translate(error: Exception, verb: str, path: Path) -> Exception:
    """The error to raise for `error`, which came when this process wanted to `verb` the database at `path`.

    What is a fault of the program stays as it is.
    """
    if isinstance(error, sqlite3.IntegrityError):
        return UniqueViolationError(str(error)) if error.sqlite_errorcode in _UNIQUE else error
    if isinstance(error, sqlite3.Error | OSError):
        return DatabaseUnavailableError(f"cannot {verb} the database {path}: {error}")
    return error


def is_busy(error: Exception) -> bool:
    """Whether another connection holds a lock for longer than this one waits."""
    return isinstance(error, sqlite3.OperationalError) and (
        getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
    )
