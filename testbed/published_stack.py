"""The published stack in a process of its own: polytope-mars on polytope-python on GribJump.

It is what results are compared with, and no part of the product. `python -m testbed.services` fetches it.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import time
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from testbed.line_process import LineProcess, answer
from testbed.services import programs

#: Keys that choose the part of the datacube that is looked at, where they have one value.
_PRE_PATH = ("class", "expver", "levtype", "stream", "type", "domain", "date", "time", "param")
_COMPRESSED = (
    *("longitude", "latitude", "levtype", "levelist", "step", "date", "domain", "expver", "param"),
    *("class", "stream", "type", "number"),
)
#: Grids whose points it searches for in a tree.
_IRREGULAR = ("lambert_conformal", "unstructured", "icon")
_QUIET = ("ECKIT_EXCEPTION_IS_SILENT", "ECKIT_SERIOUS_BUG_IS_SILENT", "ECKIT_ASSERT_FAILED_IS_SILENT")


class PublishedStack(LineProcess):
    """A process with the published stack on one FDB."""

    def __init__(self, fdb_config: Mapping[str, Any]) -> None:
        """Raises NotInstalledError."""
        here = str(Path(__file__).parents[1])
        variables = {
            "FDB5_CONFIG": json.dumps(fdb_config),
            "PYTHONPATH": os.pathsep.join([programs.program("published"), here]),
            "ECKIT_EXCEPTION_DUMPS_BACKTRACE": "0",
            **dict.fromkeys(_QUIET, "1"),
        }
        super().__init__("testbed.published_stack", variables)

    def extract(self, request: Mapping[str, Any], mapper: Mapping[str, Any]) -> dict[str, Any]:
        """The CoverageJSON of a request whose fields are on the grid of a mapper. Raises QuestionError."""
        found: dict[str, Any] = json.loads(self._ask(request, mapper)["text"])
        return found

    def time(self, request: Mapping[str, Any], mapper: Mapping[str, Any]) -> float:
        """Seconds from a request to the text of its CoverageJSON, in the process."""
        return float(self._ask(request, mapper, only_time=True)["seconds"])

    def _ask(self, request: Mapping[str, Any], mapper: Mapping[str, Any], only_time: bool = False) -> Any:
        made = configuration(request, mapper)
        return self.ask(request=request, configuration=made, only_time=only_time)


def configuration(request: Mapping[str, Any], mapper: Mapping[str, Any]) -> dict[str, Any]:
    """What an operator configures for it, for fields on the grid of a mapper."""
    axes = {
        "date": {"name": "merge", "other_axis": "time", "linkers": ["T", "00"]},
        "values": {"name": "mapper", "axes": ["latitude", "longitude"], **mapper},
        "latitude": {"name": "reverse", "is_reverse": True},
        "longitude": {"name": "cyclic", "range": [0, 360]},
        **{key: {"name": "type_change", "type": "int"} for key in ("step", "number", "levelist")},
    }
    options: dict[str, Any] = {
        "axis_config": [{"axis_name": key, "transformations": [change]} for key, change in axes.items()],
        "compressed_axes_config": list(_COMPRESSED),
        "pre_path": {key: request[key] for key in _PRE_PATH if "/" not in str(request.get(key, "/"))},
    }
    if mapper["type"] in _IRREGULAR:
        others = {*_COMPRESSED, "time"} - {"latitude", "longitude"}
        searched = {"latitude": "quadtree", "longitude": "quadtree"}
        options["engine_options"] = {**searched, **dict.fromkeys(sorted(others), "hullslicer")}
    return {"datacube": {"type": "gribjump"}, "options": options}


def main() -> int:
    """Answer requests on the standard input."""
    import findlibs

    # Otherwise the process crashes when it ends; and with a second and a third PROJ in it.
    ctypes.CDLL(findlibs.find("gribjump"))
    sys.modules["geopandas"] = types.ModuleType("geopandas")
    from polytope_mars.api import PolytopeMars

    def find(request: dict[str, Any], configuration: dict[str, Any], only_time: bool) -> dict[str, Any]:
        started = time.perf_counter()
        text = json.dumps(PolytopeMars(configuration).extract(request))
        seconds = time.perf_counter() - started
        return {"seconds": seconds, "text": "" if only_time else text}

    answer(find)
    return 0


if __name__ == "__main__":
    sys.exit(main())
