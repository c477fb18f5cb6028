"""The data source `dummy`: as many bytes as the request says, for measurements."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from polytope_server.datasource import GRIB, DataSource, DataSourceError, Job, Result

MAX_SIZE = 1 << 40
"""The most bytes that one request may ask for."""

_CHUNK = b"x" * (1 << 20)


class DummyDataSource(DataSource):
    """N bytes `x` for the request N, a number or a text. No data is read from anywhere."""

    def retrieve(self, job: Job) -> Result:
        return Result(GRIB, _chunks(_size(job.coerced_request.get("data"))))


def _size(value: Any) -> int:
    text = str(value).strip()
    if not re.fullmatch("[0-9]{1,20}", text):
        raise DataSourceError("The request must be a number of bytes, for example 1000.")
    if int(text) > MAX_SIZE:
        raise DataSourceError(f"The request asks for {text} bytes; at most {MAX_SIZE} are available.")
    return int(text)


def _chunks(size: int) -> Iterator[bytes]:
    # PERF: the same buffer again and again; only the last chunk is a copy.
    for _ in range(size // len(_CHUNK)):
        yield _CHUNK
    if rest := size % len(_CHUNK):
        yield _CHUNK[:rest]
