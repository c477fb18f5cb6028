"""The bytes of what an FDB has found."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from polytope_server.datasource import TemporaryError

logger = logging.getLogger(__name__)

CHUNK = 1 << 20
"""The most bytes of a chunk."""


def read(name: str, handle: Any, size: int) -> Iterator[memoryview]:
    """The bytes of a handle, which are `size`, for the data source of that name.

    The handle is closed and given up before TemporaryError is raised: some could not be read.
    """
    sent = 0
    error: str | None = None
    try:
        handle.open()
        # A buffer for each chunk: the one before may still be on its way out. Not read(n), which pads.
        while taken := handle.readinto(memoryview(buffer := bytearray(CHUNK))):
            sent += taken
            yield memoryview(buffer)[:taken]
        handle.close()
    except RuntimeError as failure:
        error = str(failure)
    finally:
        # SEGFAULT: while a failed handle lives, the next read of the same file crashes. Hence the
        # error is raised outside of the except clause, without a traceback that would keep it alive.
        del handle
    if error is not None or sent != size:
        logger.error("data source %s: %s", name, error or f"{sent} of {size} bytes could be read")
        raise TemporaryError(f"{name} cannot read the data at the moment.")
