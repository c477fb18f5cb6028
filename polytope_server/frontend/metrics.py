"""What a frontend counts: its calls, and what they ask for."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import falcon
import falcon.asgi
from prometheus_client import Counter, Histogram

from polytope_server.frontend.support import FailedRequestError
from polytope_server.http.connections import REASONS
from polytope_server.request import LIVE
from polytope_server.request_store import Removed
from polytope_server.runtime.management.metrics import Metrics
from polytope_server.runtime.unavailable import UnavailableError

#: A poll that is held takes up to `frontend.poll_wait`.
_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_METHODS = frozenset(falcon.HTTP_METHODS)
#: What a caller makes up is no label.
_OTHER = "other"

_Kind = tuple[str, str | None, str]


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
        except falcon.HTTPError as error:
            self._submitted.labels(collection, "refused" if error.status_code < 500 else "failed").inc()
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

    def called(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, started: float) -> None:
        """Count a call that began at that time of the performance counter."""
        kind = (req.method, req.uri_template, str(resp.status))
        call = self._kinds.get(kind)
        if call is None:
            call = self._kind(req, resp, kind)
        call.calls.inc()
        call.seconds.observe(time.perf_counter() - started)

    def _kind(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, kind: _Kind) -> _Call:
        method = req.method if req.method in _METHODS else _OTHER
        route = req.uri_template or _OTHER
        made = _Call(
            self._calls.labels(method, route, f"{resp.status_code // 100}xx"),
            self._seconds.labels(method, route),
        )
        if method != _OTHER:
            self._kinds[kind] = made
        return made


class CallsMiddleware:
    """Counts each call, whatever comes of it."""

    def __init__(self, metrics: FrontendMetrics) -> None:
        self._metrics = metrics

    async def process_request(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        req.context.started = time.perf_counter()

    async def process_response(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, resource: object, succeeded: bool
    ) -> None:
        self._metrics.called(req, resp, req.context.started)
