"""The data source for features in a process of its own, as a worker's child has it; and GribJump alone."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

from polytope_server.datasource import Job
from polytope_server.datasource.polytope import PolytopeDataSource, PolytopeSettings
from testbed.line_process import LineProcess, answer


class FeatureSource(LineProcess):
    """The data source on one FDB."""

    def __init__(self, fdb_config: dict[str, Any]) -> None:
        text = json.dumps(fdb_config)
        super().__init__("benchmarks.feature_source", {"BENCHMARK_FDB": text, "FDB5_CONFIG": text})

    def time(self, request: dict[str, Any]) -> float:
        """Seconds from a request to the last byte of its CoverageJSON."""
        return float(self.ask(request=request)["seconds"])

    def size(self, request: dict[str, Any]) -> int:
        """Bytes of the CoverageJSON of a request."""
        return int(self.ask(request=request)["bytes"])

    def time_jump(self, fields: list[dict[str, str]], index: int, md5: str) -> float:
        """Seconds of one `GribJump.extract`, for one value of each of some fields."""
        return float(self.ask(request={}, fields=fields, index=index, md5=md5)["seconds"])


def main() -> int:
    """Answer questions on the standard input."""
    import os

    config = json.loads(os.environ["BENCHMARK_FDB"])
    settings = PolytopeSettings.model_validate({"fdb_config": config, "gribjump_config": {}})
    source = PolytopeDataSource("benchmark", settings)
    source.prepare()
    import pygribjump

    jump = pygribjump.GribJump()

    def find(
        request: dict[str, Any], fields: list[dict[str, str]] | None = None, index: int = 0, md5: str = ""
    ) -> dict[str, float]:
        if fields is None:
            return _measure(lambda: sum(map(len, source.retrieve(_job(request)).chunks)))
        wanted = [pygribjump.ExtractionRequest(field, [(index, index + 1)], md5) for field in fields]
        return _measure(lambda: sum(len(found.values_flat) for found in jump.extract(wanted)))

    answer(find)
    return 0


def _job(request: dict[str, Any]) -> Job:
    return Job("benchmark", "retrieve", "", request)


def _measure(work: Callable[[], int]) -> dict[str, float]:
    started = time.perf_counter()
    size = work()
    return {"seconds": time.perf_counter() - started, "bytes": size}


if __name__ == "__main__":
    sys.exit(main())
