"""The data source `echo`: the request itself as data, for trials of a whole server."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from polytope_server.datasource import OCTET_STREAM, DataSource, Job, Result

_CHUNK = 1 << 20


class EchoDataSource(DataSource):
    """Answers the text of the request exactly as submitted, and archives into nothing."""

    accepts_mappings = True

    @classmethod
    def archives(cls, settings: Any) -> bool:
        return True

    def retrieve(self, job: Job) -> Result:
        return Result(OCTET_STREAM, _chunks(job.user_request.encode()))

    def archive(self, job: Job, data: Iterable[bytes]) -> None:
        for _ in data:
            pass


def _chunks(text: bytes) -> Iterator[memoryview]:
    view = memoryview(text)
    return (view[start : start + _CHUNK] for start in range(0, len(view), _CHUNK))
