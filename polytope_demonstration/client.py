"""What a user of the demonstration does: requests through polytope-client."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from polytope_demonstration.setup import HOST, USER, Setup

ONE_FIELD = {"param": "t", "levtype": "pl", "levelist": 500, "date": 0, "step": 0}
"""The temperature at 500 hPa, now: the shortest request of the tour."""
WEATHER_MAP = {"param": "2t/msl/10u/10v", "levtype": "sfc", "date": -1, "step": 24}
"""Several fields in one request; the date counts from today."""


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
    """Retrieve a request of the collection `demo` into a file."""
    client.retrieve("demo", dict(request), str(target))
    return target
