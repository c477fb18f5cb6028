"""The bytes of what an FDB has found."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from polytope_server.datasource import TemporaryError
from polytope_server.datasource.fdb import grib
from polytope_server.datasource.fdb.availability import Availability, inspect
from polytope_server.datasource.fdb.errors import Errors, check_process
from polytope_server.datasource.fdb.selection import Selection

logger = logging.getLogger(__name__)

_CHUNK = 1 << 20


class Reader:
    """Reads fields for the data source of a name."""

    def __init__(self, name: str, max_message: int) -> None:
        self._name = name
        self._max_message = max_message

    def read(self, fdb: Any, wanted: Selection, there: Availability) -> Iterator[memoryview]:
        """The bytes of the fields that are there."""
        return self._read(fdb, wanted, there.size)

    def messages(self, fdb: Any, wanted: Selection) -> tuple[Iterator[bytearray], int]:
        """The messages of the fields that are there, and how many they are."""
        with Errors(self._name):
            found = inspect(fdb, wanted)
        chunks = self._read(fdb, wanted, found.size)
        return grib.split(chunks, self._max_message, "what is stored"), found.count

    def _read(self, fdb: Any, wanted: Selection, size: int) -> Iterator[memoryview]:
        if not size:
            return iter(())
        with Errors(self._name):
            # No name here keeps the handle: if it fails, it must be given up.
            return read_handle(self._name, fdb.retrieve(wanted), size)

    def in_edition(self, chunks: Iterator[memoryview], edition: int | None) -> Iterator[memoryview]:
        """The bytes of messages that must be of an edition of GRIB; None: of any."""
        return chunks if edition is None else grib.of_edition(chunks, edition, self._max_message, _CHUNK)


def read_handle(name: str, handle: Any, size: int) -> Iterator[memoryview]:
    """The bytes of a handle, which are `size`, for the data source of that name.

    The handle is closed and given up before TemporaryError is raised: some could not be read.
    """
    sent = 0
    error: str | None = None
    try:
        handle.open()
        # A buffer for each chunk: the one before may still be on its way out. Not read(n), which pads.
        while taken := handle.readinto(memoryview(buffer := bytearray(_CHUNK))):
            sent += taken
            yield memoryview(buffer)[:taken]
        handle.close()
    except RuntimeError as failure:
        error = str(failure)
    finally:
        # SEGFAULT: while a failed handle lives, the next read of the same file crashes. Hence the
        # error is raised outside of the except clause, without a traceback that would keep it alive.
        del handle
    check_process(name, error or "")
    if error is not None or sent != size:
        logger.error("data source %s: %s", name, error or f"{sent} of {size} bytes could be read")
        raise TemporaryError(f"{name} cannot read the data at the moment.")
