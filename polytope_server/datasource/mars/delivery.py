"""What data sources of MARS make of the data that come: checked for their end, and with their media type."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator
from contextlib import closing
from itertools import chain

from polytope_server.datasource import GRIB, OCTET_STREAM, DataSourceError, Job, Result, TemporaryError
from polytope_server.datasource.mars.text import TARGET
from polytope_server.datasource.messages import DamagedError, Follower

logger = logging.getLogger(__name__)

#: They are closed at the end, whatever that is.
Chunks = Generator[bytes, None, None]
#: Values of `expect` with which no data are no error.
_MAY_BE_NONE = ("any", "0")


def note_target(job: Job) -> None:
    """Say that a file that a request names for its data has no effect."""
    if TARGET in job.coerced_request:
        job.note(f"The key '{TARGET}' has no effect: the result is downloaded from this server.")


def deliver(name: str, job: Job, chunks: Chunks, size: int | None = None) -> Result:
    """The result of a request that MARS serves with these chunks, the first of which is waited for.

    `name` is that of the data source. Raises DataSourceError if there are no data, and what the chunks do.
    """
    follower = Follower()
    followed = _follow(name, chunks, follower)
    # It has begun: so it is cleaned up when it is given up, even if nothing more of it is read.
    first = next(followed, None)
    if first is None:
        return _deliver_nothing(job)
    content_type = OCTET_STREAM if follower.kind == b"BUFR" else GRIB
    return Result(content_type, chain([first], followed), size)


def _follow(name: str, chunks: Chunks, follower: Follower) -> Iterator[bytes]:
    try:
        with closing(chunks):
            for chunk in chunks:
                follower.feed(chunk)
                yield chunk
        follower.end()
    except DamagedError as error:
        logger.error("data source %s: %s", name, error)
        raise TemporaryError(f"{name} delivered only a part of the data: {error}.") from error


def _deliver_nothing(job: Job) -> Result:
    if str(job.coerced_request.get("expect", "")).lower() not in _MAY_BE_NONE:
        raise DataSourceError("MARS found no data for this request.")
    job.note("MARS found no data for this request.")
    return Result(GRIB, [])
