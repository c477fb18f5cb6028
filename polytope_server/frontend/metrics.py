"""What a frontend counts: its calls, and what they ask for."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from http import HTTPMethod
from typing import NamedTuple

from prometheus_client import Counter, Histogram

from polytope_server.frontend.refusals import FailedRequestError, RefusedError
from polytope_server.http.connections import REASONS
from polytope_server.request import LIVE
from polytope_server.request_store import Removed
from polytope_server.runtime.management.metrics import Metrics
from polytope_server.runtime.unavailable import UnavailableError

#: A poll that is held takes up to `frontend.poll_wait`.
_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_METHODS = frozenset(HTTPMethod)
#: The label of what callers made up.
_OTHER = "other"

_Kind = tuple[str, str | None, int]


class _Call(NamedTuple):
    """Calls of one kind."""

    calls: Counter
    seconds: Histogram


class FrontendMetrics(Metrics):
    """The metrics of a frontend; several worker processes of one count together."""

    def __init__(self, collections: Collection[str]) -> None:
        super().__init__("frontend", collections)
        self._submitted = self.outcomes(
            "requests_submitted",
            "Submissions by collection: accepted, refused, or failed for a reason of the server.",
            ("accepted", "refused", "failed"),
        )
        self._revoked = self.counter(
            "requests_revoked", "Requests that their users revoked before they ended.", "collection"
        )
        #: Bytes of results that clients took from this frontend.
        self.served = self.counter("served_bytes", "Bytes of results that were sent to clients.")
        #: Bytes of uploads that were staged.
        self.uploaded = self.counter("uploaded_bytes", "Bytes of uploads that were staged.")
        self._cut = self.connections_cut(REASONS)
        #: Questions that workers were to answer, by collection and outcome.
        self.questions = self.outcomes(
            "questions",
            "Questions for workers: answered, answered from the cache or together with the same question of "
            "another, unanswered in time, or skipped because no worker seems to answer any.",
            ("answered", "shared", "unanswered", "skipped"),
        )
        self._calls = self.counter(
            "http_requests",
            "Calls of the REST API, by method, route and class of the status.",
            *("method", "route", "status"),
        )
        self._seconds = self.histogram(
            "http_request_duration_seconds",
            "From the head of a call to the head of its answer; polls are held.",
            _BUCKETS,
            *("method", "route"),
        )
        #: PERF: to find the labels takes longer than to count.
        self._kinds: dict[_Kind, _Call] = {}

    @contextmanager
    def submission(self, collection: str) -> Iterator[None]:
        """Counts what comes of a submission to a collection of the configuration."""
        try:
            yield
        except FailedRequestError:  # it was accepted, and failed while its caller was waiting
            self._submitted.labels(collection, "accepted").inc()
            raise
        except RefusedError as error:
            self._submitted.labels(collection, "failed" if error.kind.is_failure else "refused").inc()
            raise
        except UnavailableError:
            self._submitted.labels(collection, "failed").inc()
            raise
        self._submitted.labels(collection, "accepted").inc()

    def revoked(self, requests: Iterable[Removed]) -> None:
        """Count requests that were removed for their users, as they were before."""
        for request in requests:
            if request.status in LIVE:
                self._revoked.labels(self.collection(request.collection)).inc()

    def connection_cut(self, reason: str) -> None:
        """Count a connection, or a call through a proxy, that was refused or ended."""
        self._cut.labels(reason).inc()

    def called(self, method: str, route: str | None, status: int, seconds: float) -> None:
        """Count a call of a route (None: of none that exists), and the time that it took."""
        kind = (method, route, status)
        call = self._kinds.get(kind)
        if call is None:
            call = self._find_kind(kind)
        call.calls.inc()
        call.seconds.observe(seconds)

    def _find_kind(self, kind: _Kind) -> _Call:
        method = kind[0] if kind[0] in _METHODS else _OTHER
        route = kind[1] or _OTHER
        made = _Call(
            self._calls.labels(method, route, f"{kind[2] // 100}xx"),
            self._seconds.labels(method, route),
        )
        if method != _OTHER:
            self._kinds[kind] = made
        return made
