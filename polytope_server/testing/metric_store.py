"""What every metric store promises. Inherit, and give the fixture `metrics` an open, empty one."""

from __future__ import annotations

from polytope_server.metric_store import MetricStore, RequestStatusChange


class MetricStoreContract:
    """The contract tests."""

    async def test_an_open_store_answers_its_check(self, metrics: MetricStore) -> None:
        await metrics.check()

    async def test_metrics_come_back_oldest_first(self, metrics: MetricStore) -> None:
        late = RequestStatusChange("r1", "u", "processed", 20.0, "host")
        early = RequestStatusChange("r2", "u", "failed", 10.0)
        await metrics.add(late)
        await metrics.add(early)
        assert await metrics.find() == [early, late]
        assert await metrics.find(since=15.0) == [late]
        assert await metrics.find(statuses=["failed"]) == [early]

    async def test_adding_again_changes_nothing(self, metrics: MetricStore) -> None:
        metric = RequestStatusChange("r1", "u", "processed", 20.0)
        await metrics.add(metric, metric)
        await metrics.add(metric)
        assert await metrics.find() == [metric]

    async def test_old_ones_are_removed(self, metrics: MetricStore) -> None:
        await metrics.add(*(RequestStatusChange("r", "u", "processed", float(time)) for time in range(5)))
        assert await metrics.remove_old(3.0, 2) == 2
        assert [metric.timestamp for metric in await metrics.find()] == [2.0, 3.0, 4.0]
        assert await metrics.remove_old(3.0, 2) == 1
        assert await metrics.remove_old(3.0, 2) == 0
        assert [metric.timestamp for metric in await metrics.find()] == [3.0, 4.0]
