"""What features are extracted from, by this server's data source, the published stack, and a whole server."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import feature_fields
from benchmarks.feature_fields import FORECAST, STEPS
from benchmarks.feature_source import FeatureSource
from benchmarks.figure import Figure, Plan, Target, alternate
from benchmarks.standalone import SERVER_CONFIG
from testbed.published_stack import PublishedStack
from testbed.server import StandaloneServer

Request = dict[str, Any]

PUBLISHED = "published stack"
POINT = [48.8, 2.3]


@dataclass(frozen=True)
class Bench:
    """The same FDB for both stacks, and for a server."""

    plan: Plan
    fdb: dict[str, Any]
    root: Path
    source: FeatureSource
    published: PublishedStack
    server: StandaloneServer

    def compare(
        self, name: str, request: Request, number: int, target: Target | None = None, repeats: int = 1
    ) -> Figure:
        """Milliseconds of both stacks for a request for fields on an octahedral grid.

        A round is the median of some requests.
        """
        mapper = mapper_of(number)
        theirs, ours = alternate(
            self.plan,
            lambda: statistics.median(self.published.time(request, mapper) for _ in range(repeats)) * 1e3,
            lambda: statistics.median(self.source.time(request) for _ in range(repeats)) * 1e3,
        )
        return Figure(f"feature, {name}", "ms", ours, theirs, PUBLISHED, target)


@contextmanager
def bench(plan: Plan, folder: Path) -> Iterator[Bench]:
    """An FDB, and what extracts features from it."""
    root = folder / "features"
    fdb = feature_fields.fill(root, plan)
    source = {"type": "polytope", "fdb_config": fdb, "gribjump_config": {}}
    config = {
        **SERVER_CONFIG,
        "datasources": {"echo": {"type": "echo"}, "features": source},
        "collections": {
            name: {"roles": {"test": ["default"]}, "datasources": [name]} for name in ("echo", "features")
        },
    }
    with ExitStack() as stack:
        yield Bench(
            plan,
            fdb,
            root,
            stack.enter_context(FeatureSource(fdb)),
            stack.enter_context(PublishedStack(fdb)),
            stack.enter_context(StandaloneServer(folder / "features-server", config)),
        )


def mapper_of(number: int) -> dict[str, Any]:
    """An octahedral grid, as the configuration of the published stack describes it."""
    return {"type": "octahedral", "resolution": number, "md5_hash": feature_fields.describe(number)[0]}


def series(points: list[list[float]], **keys: str) -> Request:
    """A request for a time series of all steps."""
    feature = {"type": "timeseries", "points": points, "time_axis": "step"}
    return {**FORECAST, "step": "/".join(map(str, STEPS)), **keys, "feature": feature}


def box(south: float, west: float, north: float, east: float) -> Request:
    """A request for an area of one field."""
    feature = {"type": "boundingbox", "points": [[south, west], [north, east]]}
    return {**FORECAST, "step": "0", "feature": feature}
