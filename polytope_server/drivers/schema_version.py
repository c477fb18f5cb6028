"""Versions of what stores keep, so that old and new processes can work on one store at the same time.

Each store records, for each of its schemas, its version, and the oldest version that a process must know to
work on it (`needs`). A change that adds something (a field, a column with a default, an index) leaves `needs`
as it is: the first new process makes it, and old ones go on beside it. A change that they could not live with
raises `needs`: it is made by `polytope-server store upgrade` only, when no old process is left.
docs/upgrading.md says how to choose.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import NamedTuple, Protocol


class IncompatibleSchemaError(RuntimeError):
    """This process must not work on that store; the message says why and what to do."""


class LookedError(Exception):
    """The versions were only to be looked at, so the store was not opened."""


class Stored(NamedTuple):
    """What a store says of one of its schemas."""

    version: int
    needs: int


class Versioned(Protocol):
    """A schema as this process knows it."""

    @property
    def version(self) -> int:
        """Grows with each change."""

    @property
    def needs(self) -> int:
        """The oldest version that a process must know to work on a store of this one."""


@dataclass(frozen=True, slots=True)
class Found:
    """A schema in a store: `name` says which and where; `stored` is None where nothing is recorded yet."""

    name: str
    stored: Stored | None
    own: Stored

    @property
    def is_too_new(self) -> bool:
        """Whether this process cannot work on it."""
        return self.stored is not None and self.stored.needs > self.own.version

    @property
    def is_older(self) -> bool:
        """Whether something is to be made there."""
        return self.stored is None or self.stored.version < self.own.version

    @property
    def shuts_out_others(self) -> bool:
        """Whether processes of the recorded version could not go on after it was brought to ours."""
        return self.stored is not None and self.is_older and self.own.needs > self.stored.version


class Maintenance:
    """What `polytope-server store` does while it opens stores: it upgrades them, or only looks."""

    def __init__(self, *, look_only: bool = False) -> None:
        self.look_only = look_only
        self.found: list[Found] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        """Stores that are opened within the context are upgraded, or looked at: see :class:`LookedError`."""
        token = _maintenance.set(self)
        try:
            yield
        finally:
            _maintenance.reset(token)


_maintenance: ContextVar[Maintenance | None] = ContextVar("maintenance", default=None)


def must_upgrade(name: str, stored: Stored | None, schema: Versioned) -> bool:
    """Whether a store that records `stored` is to be brought to `schema` by the process that opens it.

    `name` names the schema and where it is. Raises :class:`IncompatibleSchemaError`, or :class:`LookedError`
    if nothing is to be done.
    """
    found, maintenance = Found(name, stored, Stored(schema.version, schema.needs)), _maintenance.get()
    if maintenance is not None:
        maintenance.found.append(found)
        if maintenance.look_only:
            raise LookedError
    if stored is not None and found.is_too_new:
        raise IncompatibleSchemaError(
            f"{name} has schema version {stored.version}, for servers that know version {stored.needs} or "
            f"later; this one knows {schema.version}: install the version of the server that upgraded it, or "
            "a later one"
        )
    if stored is not None and found.shuts_out_others and maintenance is None:
        raise IncompatibleSchemaError(
            f"{name} has schema version {stored.version}, and this server needs {schema.version}, with which "
            "the processes of before cannot work: stop them all, run `polytope-server store upgrade`, and "
            "start this one again"
        )
    return found.is_older
