"""What a user of the demonstration does: requests through polytope-client."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from polytope_demonstration import ensemble
from polytope_demonstration.setup import FEATURES, HOST, USER, Setup

ONE_FIELD = {"param": "t", "levtype": "pl", "levelist": 500, "date": 0, "step": 0}
"""The temperature at 500 hPa, now: the shortest request of the tour."""
WEATHER_MAP = {"param": "2t/msl/10u/10v", "levtype": "sfc", "date": -1, "step": 24}
"""Several fields in one request; the date counts from today."""

PLACE, WHERE = "Dublin", (53.3, -6.3)
"""The place of the meteogram: its name, and its latitude and longitude."""
METEOGRAM = {
    "stream": "enfo",
    "type": "pf",
    "number": f"1/to/{ensemble.MEMBERS[-1]}",
    "param": "/".join(ensemble.PARAMETERS),
    "levtype": "sfc",
    "date": 0,
    "feature": {
        "type": "timeseries",
        "points": [list(WHERE)],
        "time_axis": "step",
        "range": {"start": 6, "end": ensemble.STEPS[-1], "interval": 6},
    },
}
"""All members of the ensemble at one place, for four days."""
PROFILES = {
    "param": "t",
    "levtype": "pl",
    "date": 0,
    "step": 0,
    "feature": {
        "type": "verticalprofile",
        "points": [[70.7, 23.7], list(WHERE), [4.9, -52.3]],
        "axes": "levelist",
        "range": {"start": 1000, "end": 200},
    },
}
"""The temperature above three places, at all levels that there are."""
AREA = {
    "param": "2t/msl",
    "levtype": "sfc",
    "date": 0,
    "step": 24,
    "feature": {"type": "boundingbox", "points": [[72, -40], [30, 45]]},
}
"""A part of the world, given by two corners."""


def connect(setup: Setup, folder: Path) -> Any:
    """A client that keeps its files in `folder`: the user's own are neither read nor changed."""
    from polytope.api import Client

    # With a key file there it does not look for keys elsewhere.
    keys = folder / "keys"
    keys.write_text("{}")
    return Client(
        config_path=str(folder),
        key_path=str(keys),
        address=f"http://{HOST}",
        port=setup.port,
        username=USER,
        password=setup.password,
        insecure=True,
        quiet=True,
    )


def retrieve(client: Any, request: dict[str, Any], target: Path) -> Path:
    """Retrieve a request into a file: of the collection of features if it has one, otherwise of `demo`."""
    client.retrieve(FEATURES if "feature" in request else "demo", dict(request), str(target))
    return target
