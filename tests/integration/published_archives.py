"""For each published request an FDB with the fields that it names, on a grid of the kind of its data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any

import pyfdb
from opened_coverages import Labelled
from published_door import SCHEMAS
from published_grids import PITCH, grid_of
from pymetkit import MarsRequest

from polytope_demonstration import fdb as demo

_TYPES = "param: Param; step: Step; date: Date; hdate: Date; time: Time; levelist: Double; expver: Expver;"
_TYPES += " number: Integer; year: Integer; month: Integer;\n"
#: Of a range that means what the archive has, the archive has about this many values.
_VALUES = 4
#: Keys whose ranges without `by` are such, beside the one that a series runs along.
_OPEN = frozenset({"step", "levelist", "time"})


class PublishedArchive:
    """An FDB with the fields that a request names, and what they are.

    Attributes:
        config: The configuration of the FDB.
        grid: The grid of all fields.
        fields: The keys of each field, in the archive's spelling. The values of a field tell its number.
    """

    def __init__(self, root: Path, kind: str, request: Mapping[str, Any]) -> None:
        """`request` as it goes to a data source: with what its feature asks for."""
        (root / "schema").write_text(_TYPES + SCHEMAS[kind])
        (root / "data").mkdir()
        self.config = demo.configuration(root)
        feature = request["feature"]
        self.grid = grid_of(kind, feature)
        filed = set(re.findall("[a-z]+", SCHEMAS[kind]))
        keys = {key: values for key, values in expand(request).items() if key in filed}
        self.fields = [dict(zip(keys, one, strict=True)) for one in product(*keys.values())]
        self._along = feature.get("time_axis")
        self._steps = {step_of(step) for step in keys.get("step", ["0"])}
        fdb = pyfdb.FDB(self.config)
        for number, field in enumerate(self.fields):
            # Where a field is filed says more than its header, which has the grid and the parameter.
            fdb.archive(self.grid.message(field["param"], number), field)
        fdb.flush()

    def read(self, value: float) -> tuple[int, int]:
        """The number of the field that a value is of, and what tells the point."""
        return divmod(round(value), PITCH)

    def has_time(self, value: Labelled) -> bool:
        """Whether the forecast that a value is of has a step for the value's time.

        Of several forecasts covjsonkit gives the values of each under the times of each other one, too.
        """
        if value.start is None or value.time is None or self._along == "date":
            return True
        return value.time - value.start in self._steps


def expand(request: Mapping[str, Any]) -> dict[str, list[str]]:
    """All values of each key in the archive's spelling; some of those that are as the archive has them."""
    feature = request["feature"]
    texts = {key: str(value) for key, value in request.items() if key not in ("feature", "format")}
    asked = {key: _list_values(key, text) for key, text in texts.items()} | _values_of_points(feature)
    found = MarsRequest("retrieve", asked).expand(inherit=False, strict=True)
    values = {key: [found[key]] if isinstance(found[key], str) else list(found[key]) for key in texts}
    opened = {*_OPEN, feature.get("time_axis", "step")}
    ranges = {key for key in opened & texts.keys() if re.fullmatch("[^/]+/to/[^/]+", texts[key])}
    return {
        key: some[:: max(1, len(some) // _VALUES)] if key in ranges else some for key, some in values.items()
    }


def _values_of_points(feature: Mapping[str, Any]) -> dict[str, list[str]]:
    """The levels and steps at which the points of a path are."""
    if feature["type"] != "trajectory":
        return {}
    axes = feature.get("axes", feature.get("axis", ["latitude", "longitude", "levelist", "step"]))
    return {
        axis: list(dict.fromkeys(str(point[place]) for point in feature["points"]))
        for place, axis in enumerate(axes)
        if axis in ("levelist", "step")
    }


def _list_values(key: str, text: str) -> list[str]:
    first, _, rest = text.partition("/to/")
    if key != "month" or not rest:
        return text.split("/")
    # Ranges of months are none of metkit's.
    last, _, pitch = rest.partition("/by/")
    return [str(month) for month in range(int(first), int(last) + 1, int(pitch or 1))]


def start_of(field: Mapping[str, str]) -> datetime:
    """When the forecast of a field starts; of a month its first day."""
    if "year" in field:
        return datetime(int(field["year"]), int(field["month"]), 1)
    return datetime.strptime(field.get("hdate", field["date"]) + field["time"], "%Y%m%d%H%M")


def step_of(text: str) -> timedelta:
    """A step in hours, or with its units."""
    found = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?|(\d+)", text)
    assert found, text
    long, minutes, hours = (int(part or 0) for part in found.groups())
    return timedelta(hours=long or hours, minutes=minutes)
