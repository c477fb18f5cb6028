"""What processes make of what happens to them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from polytope_server.broker.metrics import BrokerMetrics
from polytope_server.broker.schedule import Schedule
from polytope_server.frontend.metrics import FrontendMetrics
from polytope_server.garbage_collector.metrics import CollectorMetrics
from polytope_server.object_store.metrics import StoreMetrics
from polytope_server.request import Request, Status
from polytope_server.runtime.management.metrics import UNKNOWN, Metrics
from polytope_server.settings.management import MetricsSettings
from polytope_server.user import User
from polytope_server.worker.metrics import WorkerMetrics

GUIDE = Path(__file__).parents[3] / "docs" / "operators" / "metrics.md"


def samples(metrics: Metrics, name: str) -> dict[tuple[str, ...], float]:
    """Those of that name, without the prefix, by the values of their labels, zeros left out."""
    return {
        tuple(sample.labels.values()): sample.value
        for family in text_string_to_metric_families(metrics.text().decode())
        for sample in family.samples
        if sample.name == f"polytope_{name}" and sample.value
    }


def worker() -> WorkerMetrics:
    return WorkerMetrics(MetricsSettings(), ["c"], lambda: {"busy": 1, "free": 3})


def request(**fields: Any) -> Request:
    return Request(User("alice", "test"), **{"collection": "c", "status": Status.PROCESSING, **fields})


@pytest.mark.parametrize(
    ("to", "changes", "outcome"),
    [
        (Status.PROCESSED, {"content_length": 7}, "processed"),
        (Status.FAILED, {"failures": 3}, "failed"),
        (Status.QUEUED, {"failures": 1}, "retried"),
        (Status.QUEUED, {"worker": ""}, "returned"),
    ],
)
def test_each_attempt_has_one_outcome(to: Status, changes: dict[str, Any], outcome: str) -> None:
    metrics = worker()
    metrics.recorded(request(), request(status=to), changes)
    assert samples(metrics, "attempts_total") == {("c", outcome): 1}
    ended = {} if to is Status.QUEUED else {("c", str(to)): 1.0}
    assert samples(metrics, "requests_finished_total") == ended
    assert samples(metrics, "request_duration_seconds_count") == ({("c",): 1} if ended else {})
    assert samples(metrics, "processing_duration_seconds_count") == ({("c",): 1} if ended else {})
    staged = changes.get("content_length", 0)
    assert samples(metrics, "staged_bytes_total") == ({("c",): staged} if staged else {})


def test_an_attempt_that_was_overtaken_ends_no_request() -> None:
    metrics = worker()
    metrics.overtaken(request())
    assert samples(metrics, "attempts_total") == {("c", "overtaken"): 1}
    assert samples(metrics, "requests_finished_total") == {}
    assert samples(metrics, "worker_slots") == {("busy",): 1, ("free",): 3}


def test_a_collection_that_is_gone_is_one_label_for_all_of_them() -> None:
    metrics = worker()
    for name in ("gone", "too"):
        metrics.overtaken(request(collection=name))
    assert samples(metrics, "attempts_total") == {(UNKNOWN, "overtaken"): 2}


def test_a_broker_that_does_not_lead_tells_no_numbers() -> None:
    metrics = BrokerMetrics(["c"])
    assert "requests_waiting" not in metrics.text().decode()
    metrics.leads(Schedule({}))
    assert samples(metrics, "broker_leads") == {(): 1}
    assert 'polytope_requests_waiting{collection="c"} 0.0' in metrics.text().decode()
    metrics.leads(None)
    assert "requests_waiting" not in metrics.text().decode()
    assert samples(metrics, "broker_leads") == {}


def test_what_had_ended_before_is_not_revoked() -> None:
    metrics = FrontendMetrics(["c"])
    metrics.revoked([request(status=status) for status in (Status.WAITING, Status.PROCESSED, Status.FAILED)])
    assert samples(metrics, "requests_revoked_total") == {("c",): 1}


@pytest.mark.parametrize(
    "metrics", [FrontendMetrics(["c"]), BrokerMetrics(["c"]), worker(), CollectorMetrics(), StoreMetrics()]
)
def test_every_metric_is_in_the_operators_guide(metrics: Metrics) -> None:
    guide = GUIDE.read_text()
    families = list(text_string_to_metric_families(metrics.text().decode()))
    assert any(family.name == "polytope_build_info" for family in families)
    for family in families:
        name = f"{family.name}_total" if family.type == "counter" else family.name
        assert name.startswith("process_") or f"`{name}`" in guide, name
        assert family.documentation, family.name
