"""The demonstration's data folder: password, configuration, FDB."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from polytope_demonstration import fdb
from polytope_server.runtime.data_folder import kept_password, write_private

HOST = "127.0.0.1"
USER = "demo"
OWN_EXPVER = "demo"
"""The experiment version under which a user of the demonstration may archive."""
FEATURES = "features"
"""The collection that serves features of the same forecasts."""


_FIELD = {"param": "2t", "levtype": "sfc", "date": 0, "step": 0}
#: What users read of the collections.
_ABOUT = {
    "licence": "None is needed: a formula made the data.",
    "attribution": "Synthetic weather of the demonstration of polytope-server",
}
_ABOUT_FIELDS = {
    "title": "Forecasts of synthetic weather",
    "description": "Two forecasts, of yesterday and of today, and what you archive as expver demo.",
    **_ABOUT,
    "examples": [_FIELD, {"param": "2t/msl", "levtype": "sfc", "date": -1, "step": "0/to/48/by/6"}],
}
_ABOUT_FEATURES = {
    "title": "Features of the same forecasts",
    "description": "Time series, profiles, areas and paths, as CoverageJSON.",
    **_ABOUT,
    "examples": [
        {
            **{key: value for key, value in _FIELD.items() if key != "step"},
            "feature": {
                "type": "timeseries",
                "points": [[53.3, -6.3]],
                "time_axis": "step",
                "range": {"start": 0, "end": 48},
            },
        }
    ],
}


@dataclass(frozen=True)
class Setup:
    """What it takes to start the server, and to speak to it."""

    data: Path
    port: int
    password: str
    config: Path

    @property
    def url(self) -> str:
        """Base of the server's URLs."""
        return f"http://{HOST}:{self.port}"


def prepare(data: Path, port: int, now: datetime | None = None, *, postprocess: bool = False) -> Setup:
    """Fill the FDB where days are missing, and write the configuration. All of it is below `data`.

    `postprocess`: whether fields are interpolated as requests ask for it, which needs MIR.
    """
    data = data.resolve()
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    root = data / "fdb"
    fdb.fill(root, fdb.days(now))
    password = kept_password(data / "demo-password")
    config = data / "demo.yaml"
    written = configuration(root, port, password, postprocess=postprocess)
    write_private(config, yaml.safe_dump(written, sort_keys=False))
    return Setup(data, port, password, config)


def configuration(root: Path, port: int, password: str, *, postprocess: bool = False) -> dict[str, Any]:
    """The server's configuration, for the FDB below `root`."""
    return {
        "logging": {"mode": "prettyprint", "level": "INFO"},
        "frontend": {"bind_to": HOST, "port": port},
        "authentication": {
            "demo": {
                "authenticators": {
                    "users": {
                        "type": "plain",
                        "clear_text": True,
                        "users": [{"uid": USER, "password": password}],
                    }
                },
                "authorizers": {"roles": {"type": "plain", "roles": {"forecaster": [USER]}}},
            }
        },
        "api-keys": {
            "generator": {"type": "sql", "allowed_realms": ["demo"]},
            "authenticator": {"type": "sql"},
        },
        "datasources": _datasources(root, postprocess),
        "collections": {
            "demo": {
                "roles": {"demo": ["forecaster"]},
                "about": _ABOUT_FIELDS,
                "limits": {"per-user": 10},
                "datasources": ["forecasts", "experiments"],
            },
            FEATURES: {
                "roles": {"demo": ["forecaster"]},
                "about": _ABOUT_FEATURES,
                "limits": {"per-user": 10},
                "datasources": ["features"],
            },
            "echo": {"roles": {"demo": ["default"]}, "datasources": ["echo"]},
            "dummy": {"roles": {"demo": ["default"]}, "datasources": ["dummy"]},
        },
    }


def _datasources(root: Path, postprocess: bool) -> dict[str, dict[str, Any]]:
    # What a request need not say: the demonstration has nothing else.
    label = {"class": "od", "stream": "oper", "type": "fc", "domain": "g", "time": "0000"}
    store: dict[str, Any] = {"type": "fdb", "fdb_config": fdb.configuration(root)}
    store |= {"postprocess": True} if postprocess else {}
    return {
        "forecasts": {
            **store,
            "repr": "the forecasts of yesterday and today",
            "archive": False,
            "match": {"class": ["od"], "expver": ["0001"]},
            "defaults": {**label, "expver": "0001"},
        },
        "experiments": {
            **store,
            "repr": "your own experiments",
            "archive": True,
            "match": {"class": ["od"], "expver": [OWN_EXPVER]},
            "defaults": label,
        },
        "features": {
            "type": "polytope",
            "repr": "features of the forecasts",
            "gribjump_config": {"type": "local"},
            "fdb_config": fdb.configuration(root),
            "match": {"class": ["od"], "expver": ["0001"]},
            "defaults": {**label, "expver": "0001"},
        },
        "echo": {"type": "echo"},
        "dummy": {"type": "dummy"},
    }
