"""The data source `federated`: a collection of another Polytope server, which acts as users of this one.

A request is submitted there for its user, polled, and its result passed on. When this side has no more use
for it, or ends, it is removed there (:mod:`polytope_server.datasource.upstream_guard`). What the other
server says is said to the user: progress, notes, failures.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import IO, Any

from polytope_server.datasource import DataSource, DataSourceError, Job, Result
from polytope_server.datasource.federated.download import Download
from polytope_server.datasource.federated.errand import Errand, GoneError, wants_data
from polytope_server.datasource.federated.peer import Answer, Peer
from polytope_server.datasource.federated.settings import FederatedSettings
from polytope_server.datasource.upstream_guard import Guard

__all__ = ["FederatedDataSource", "FederatedSettings"]

#: Seconds in which a request is removed whose peer cannot be reached.
_REMOVAL_PATIENCE = 60.0
#: It is submitted again when it is gone there: a guard of an attempt that was killed may have removed it.
_MOST_SUBMISSIONS = 3


class FederatedDataSource(DataSource):
    """Retrieves from, and archives to, a collection of another server."""

    Settings = FederatedSettings
    accepts_mappings = True
    #: With a feature or without: the other server's data sources decide.
    accepts_feature = None

    def __init__(self, name: str, settings: FederatedSettings) -> None:
        super().__init__(name, settings)
        self._peer = Peer(name, settings)

    @classmethod
    def archives(cls, settings: Any) -> bool:
        return True

    def retrieve(self, job: Job) -> Result:
        errand = Errand(self._peer, job, self.coercion)
        with self._guarding(job) as guard:
            ended = _run(errand, guard, errand.wait)
            download = Download(errand, self._peer, ended)
        _pass_notes_on(job, ended)
        job.progress(f"Receiving the result from {self.name}.")
        return Result(download.content_type, _chunks(download, guard), download.size)

    def archive(self, job: Job, data: Iterable[bytes]) -> None:
        # On disk, not in memory: the sum comes before the data, and these may have to be sent again.
        with tempfile.TemporaryFile() as file:
            md5 = _spool(data, file)
            errand = Errand(self._peer, job, self.coercion)

            def wait(answer: Answer) -> Answer:
                while wants_data(answer := errand.wait(answer)):
                    answer = errand.upload(file, md5)
                return answer

            with self._guarding(job) as guard:
                ended = _run(errand, guard, wait)
            guard.dismiss()
        if ended.status != 200:
            raise DataSourceError(f"{self.name} answers with the unexpected status {ended.status}.")
        _pass_notes_on(job, ended)

    @contextmanager
    def _guarding(self, job: Job) -> Iterator[Guard]:
        """What removes the request at the peer if this fails, unless it is there that it has failed."""
        # What the guard would say would go to the worker, in whose connection it has no part.
        silent = replace(job, tell=lambda kind, text: None)
        errand = Errand(self._peer, silent, self.coercion)
        guard = Guard(partial(self._remove, errand, time.monotonic()))
        try:
            yield guard
        except DataSourceError:
            guard.dismiss()
            raise
        except BaseException:
            guard.close()
            raise

    def _remove(self, errand: Errand, started: float, request_id: str) -> None:
        """Remove the request of that id from the peer; one whose id is not known is looked for."""
        self._peer.reconnect()
        errand.id = request_id
        if not errand.id and self._peer.keeps_keys:
            errand.submit()  # once more, which is the same request
        if errand.id or errand.find(started):
            errand.revoke(_REMOVAL_PATIENCE)


def _run(errand: Errand, guard: Guard, wait: Callable[[Answer], Answer]) -> Answer:
    """Submit the request, and wait until it has ended; the last answer."""
    for _ in range(_MOST_SUBMISSIONS - 1):
        with suppress(GoneError):
            return _run_once(errand, guard, wait)
    return _run_once(errand, guard, wait)


def _run_once(errand: Errand, guard: Guard, wait: Callable[[Answer], Answer]) -> Answer:
    answer = errand.submit()
    guard.name(errand.id)
    return wait(answer)


def _spool(data: Iterable[bytes], file: IO[bytes]) -> str:
    """Write the data into a file; returns their MD5 sum in hex."""
    digest = hashlib.md5(usedforsecurity=False)
    for chunk in data:
        digest.update(chunk)
        file.write(chunk)
    file.flush()
    return digest.hexdigest()


def _chunks(download: Download, guard: Guard) -> Iterator[bytes]:
    try:
        yield from download.chunks()
    finally:
        download.close()
        guard.close()


def _pass_notes_on(job: Job, ended: Answer) -> None:
    """What the peer's data source has said to the user about the result: the lines after "Success"."""
    for line in ended.said("message").splitlines()[1:]:
        job.note(line)
