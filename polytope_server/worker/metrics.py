"""What a worker counts: attempts, what came of them, and how long they took."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from prometheus_client.core import GaugeMetricFamily, Metric

from polytope_server.request import Request, Status
from polytope_server.runtime.management.metrics import Metrics
from polytope_server.settings.management import MetricsSettings

_ATTEMPTS = ("processed", "failed", "retried", "returned", "overtaken")


class WorkerMetrics(Metrics):
    """The metrics of a worker."""

    def __init__(
        self, settings: MetricsSettings, collections: Collection[str], slots: Callable[[], dict[str, int]]
    ) -> None:
        """`slots` says how many slots are in each state."""
        super().__init__("worker", collections)
        self._slots = slots
        self._attempts = self.outcomes(
            "attempts",
            "Attempts: that succeeded, failed for good, are to be repeated, were given back without a fault "
            "of theirs, or whose request was taken away.",
            _ATTEMPTS,
        )
        self._finished = self.outcomes("requests_finished", "Requests that ended.", ("processed", "failed"))
        self._request_seconds = self.histogram(
            "request_duration_seconds",
            "From the submission of a request to its end.",
            settings.request_duration_buckets,
            "collection",
        )
        self._processing_seconds = self.histogram(
            "processing_duration_seconds",
            "From the claim of a request to the end of its last attempt.",
            settings.processing_duration_buckets,
            "collection",
        )
        self._staged = self.counter("staged_bytes", "Bytes of results that were staged.", "collection")
        #: Questions of frontends, by collection and outcome.
        self.questions = self.outcomes(
            "worker_questions",
            "Questions of frontends: answered, without an answer for want of time, or for another reason.",
            ("answered", "timed_out", "failed"),
        )
        #: Leases that could not be renewed: the request was revoked, or is another worker's.
        self.leases_lost = self.counter("leases_lost", "Leases that could not be renewed.")
        self.computed(self._read_slots)

    def recorded(self, claimed: Request, ended: Request, changes: Mapping[str, Any]) -> None:
        """An attempt has ended: the request as it was claimed, as it is in the store now, and what was set.

        All times are of the store.
        """
        collection = self.collection(claimed.collection)
        to = ended.status
        if to is Status.QUEUED:
            outcome = "retried" if "failures" in changes else "returned"
            self._attempts.labels(collection, outcome).inc()
            return
        self._attempts.labels(collection, to).inc()
        self._finished.labels(collection, to).inc()
        self._request_seconds.labels(collection).observe(max(0.0, ended.last_modified - claimed.timestamp))
        # The claim is the last change before.
        seconds = max(0.0, ended.last_modified - claimed.last_modified)
        self._processing_seconds.labels(collection).observe(seconds)
        self._staged.labels(collection).inc(changes.get("content_length", 0))

    def overtaken(self, request: Request) -> None:
        """An attempt was for nothing: its request is gone, or another worker's."""
        self._attempts.labels(self.collection(request.collection), "overtaken").inc()

    def _read_slots(self) -> Iterator[Metric]:
        family = GaugeMetricFamily(
            "polytope_worker_slots", "Requests that can run at a time, by state.", labels=["state"]
        )
        for state, count in self._slots().items():
            family.add_metric([state], count)
        yield family
