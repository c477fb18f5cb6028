"""What today's clients make of a result: the datasets of xarray that covjsonkit and earthkit-data open."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

# The clients are imported when they are needed: it takes seconds, in each process that collects tests.


class Labelled(NamedTuple):
    """A value of a dataset, and what its coordinates say of it.

    `start` is that of the forecast, None where a dataset has none; `time` is what the value is for, or else a
    step after the start.
    """

    name: str
    value: float
    latitude: float
    longitude: float
    level: float
    number: int
    start: datetime | None
    time: datetime | None
    step: str | None


def decode(text: str | bytes) -> list[Any]:
    """The datasets that covjsonkit makes of a result."""
    from covjsonkit.api import Covjsonkit

    return _listed(Covjsonkit().decode(json.loads(text)).to_xarray())


def open_file(path: Path) -> list[Any]:
    """The datasets that earthkit-data makes of a result in a file."""
    import earthkit.data

    # Importing it makes ecCodes compute the coordinates of grids otherwise: from increments, which a message
    # has rounded. Other tests of this process compare with what it gives without.
    os.environ.pop("ECCODES_ECKIT_GEO", None)
    return _listed(earthkit.data.from_source("file", str(path)).to_xarray())


def _listed(found: Any) -> list[Any]:
    return found if isinstance(found, list) else [found]


def values_of(dataset: Any) -> Iterator[Labelled]:
    """Every value of a dataset with its labels, whichever names the coordinates have."""
    coordinates = set(map(str, dataset.coords))
    timed = "t" in coordinates
    step = "time" if "time" in coordinates else "steps"
    for row in dataset.to_dataframe().reset_index().to_dict("records"):
        start = row.get("datetime", row.get("datetimes"))
        for name in dataset.data_vars:
            yield Labelled(
                name,
                float(row[name]),
                float(row["latitude"]),
                float(row["longitude"]),
                float(row["levelist"]),
                int(row.get("number", 0)),
                None if start is None else datetime.fromisoformat(start.removesuffix("Z")),
                row["t"].to_pydatetime() if timed else None,
                None if timed else str(row[step]),
            )
