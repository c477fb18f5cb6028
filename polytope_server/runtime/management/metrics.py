"""Metrics for Prometheus. Labels are names of the configuration, never users or ids."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Sequence

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from polytope_server import __version__
from polytope_server.runtime import unavailable

#: Set while several processes are one to the outside: their counts lie in files of that folder.
SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
#: In place of a collection that the configuration no longer has.
UNKNOWN = "unknown"

# A second sample for each counter and histogram, which in this text format looks like a metric of its own.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """The metrics that every process has; each kind of process adds its own."""

    def __init__(self, process: str, collections: Collection[str] = ()) -> None:
        """`process` is its kind, as `polytope-server` calls it; `collections` are the configured ones."""
        self._registry = CollectorRegistry()
        self._collections = frozenset(collections)
        ProcessCollector(registry=self._registry)
        Gauge(
            "polytope_build_info",
            "1, with the version of the server and the kind of the process.",
            ["version", "process"],
            registry=self._registry,
            multiprocess_mode="max",
        ).labels(__version__, process).set(1)
        errors = self.counter(
            "backend_errors", "Calls that a back-end could not answer, by its role.", "role"
        )
        unavailable.observe(lambda role: errors.labels(role).inc())

    def text(self) -> bytes:
        """All of them in the text format of Prometheus, of all processes that count together."""
        registry = self._registry
        if SHARED_FOLDER in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)

    def counter(self, name: str, text: str, *labels: str) -> Counter:
        """A counter `polytope_<name>_total`."""
        return Counter(f"polytope_{name}", text, labels, registry=self._registry)

    def connections_cut(self, reasons: Iterable[str]) -> Counter:
        """The counter of connections that are refused or ended, by reason, for processes that serve HTTP."""
        made = self.counter(
            "connections_cut",
            "Connections that were refused (process, address: too many) or ended (head, receiving, sending: "
            "too slow).",
            "reason",
        )
        for reason in reasons:
            made.labels(reason)
        return made

    def outcomes(self, name: str, text: str, outcomes: Iterable[str]) -> Counter:
        """The same, by collection and outcome. It begins with 0 for each, so that the first one is a step."""
        made = self.counter(name, text, "collection", "outcome")
        for outcome in outcomes:
            for collection in self._collections:
                made.labels(collection, outcome)
        return made

    def histogram(self, name: str, text: str, buckets: Sequence[float], *labels: str) -> Histogram:
        """A histogram `polytope_<name>`, with upper limits of its buckets."""
        return Histogram(f"polytope_{name}", text, labels, buckets=tuple(buckets), registry=self._registry)

    def gauge(self, name: str, text: str) -> Gauge:
        """A gauge `polytope_<name>`, for a process of which there is one."""
        return Gauge(f"polytope_{name}", text, registry=self._registry)

    def computed(self, read: Callable[[], Iterable[Metric]]) -> None:
        """Call `read` for metrics at each scrape; not for processes that count together."""
        self._registry.register(_Computed(read))

    def collection(self, name: str) -> str:
        """The label for a collection: its name if the configuration has it."""
        return name if name in self._collections else UNKNOWN


class _Computed(Collector):
    """Metrics that are known elsewhere."""

    def __init__(self, read: Callable[[], Iterable[Metric]]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        return self._read()
