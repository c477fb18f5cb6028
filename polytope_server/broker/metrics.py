"""The metrics of a broker: how many requests wait and run, which the one that leads knows."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from prometheus_client.core import GaugeMetricFamily, Metric

from polytope_server.broker.schedule import Schedule
from polytope_server.request import Status
from polytope_server.runtime.management.metrics import Metrics

_STATES = {
    Status.WAITING: ("requests_waiting", "Requests that wait for their turn"),
    Status.QUEUED: ("requests_queued", "Requests in the queue, or pausing before a further attempt"),
    Status.PROCESSING: ("requests_running", "Requests that a worker works on"),
}


class BrokerMetrics(Metrics):
    """The metrics of a broker."""

    def __init__(self, collections: Collection[str]) -> None:
        super().__init__("broker", collections)
        self._leading: Schedule | None = None
        self._failed = self.outcomes("requests_finished", "Requests that ended.", ("failed",))
        self._expired = self.counter(
            "leases_expired", "Leases that ended because their worker fell silent.", "collection"
        )
        self.computed(self._read_schedule)

    def leads(self, schedule: Schedule | None) -> None:
        """This broker leads from now on, by that schedule; None: it does not."""
        self._leading = schedule

    def failed(self, collection: str) -> None:
        """A request of that collection failed by the broker."""
        self._failed.labels(self.collection(collection), "failed").inc()

    def expired(self, collection: str) -> None:
        """The lease of a request of that collection ended."""
        self._expired.labels(self.collection(collection)).inc()

    def _read_schedule(self) -> Iterator[Metric]:
        leads = GaugeMetricFamily("polytope_broker_leads", "Whether this broker leads.")
        leads.add_metric([], self._leading is not None)
        yield leads
        if self._leading is None:  # what others have done since is not known
            return
        for status, (name, text) in _STATES.items():
            family = GaugeMetricFamily(f"polytope_{name}", f"{text}, by collection.", labels=["collection"])
            for collection in sorted(self._collections):
                family.add_metric([collection], self._leading.count_of(status, collection))
            yield family
