"""Makes a garbage collector from the configuration."""

from __future__ import annotations

from pathlib import Path

from polytope_server.config import Configuration
from polytope_server.garbage_collector.collector import GarbageCollector, Parts
from polytope_server.settings import create_backend


def make_collector(configuration: Configuration, data: Path) -> GarbageCollector:
    """The garbage collector that the configuration describes; `data` is the data folder."""
    return GarbageCollector(configuration.settings, make_parts(configuration, data))


def make_parts(configuration: Configuration, data: Path) -> Parts:
    """The parts of that garbage collector."""
    settings = configuration.settings
    return Parts(
        store=create_backend("request_store", settings.request_store, data),
        staging=create_backend("staging", settings.staging, data),
        metric_store=create_backend("metric_store", settings.metric_store, data),
    )
