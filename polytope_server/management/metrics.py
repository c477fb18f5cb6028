"""What processes count, for Prometheus. Labels are names of the configuration, never users or ids."""

from __future__ import annotations

import os

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from polytope_server import __version__, unavailable

#: Set while several processes are one to the outside: their counts lie in files of that folder.
SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"


class Metrics:
    """The metrics that every process has; each kind of process adds its own to `registry`."""

    def __init__(self, process: str) -> None:
        """`process` is its kind, as `polytope-server` calls it."""
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        Gauge(
            "polytope_build_info",
            "1, with the version of the server and the kind of the process.",
            ["version", "process"],
            registry=self.registry,
            multiprocess_mode="max",
        ).labels(__version__, process).set(1)
        errors = Counter(
            "polytope_backend_errors",
            "Calls that a back-end could not answer, by its role.",
            ["role"],
            registry=self.registry,
        )
        unavailable.observe(lambda role: errors.labels(role).inc())

    def text(self) -> bytes:
        """All of them in the text format of Prometheus, of all processes that count together."""
        registry = self.registry
        if SHARED_FOLDER in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)
