"""The demonstration's FDB: its configuration, and filling it once for each day."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Any

from polytope_demonstration import ensemble, fields, weather
from polytope_server.datasource.fdb.environment import prepare_eckit

_SCHEMA = Path(__file__).with_name("schema")


def configuration(root: Path) -> dict[str, Any]:
    """The configuration of an FDB whose schema and data are below `root`."""
    return {
        "type": "local",
        "engine": "toc",
        "schema": str(root / "schema"),
        "spaces": [{"handler": "Default", "roots": [{"path": str(root / "data")}]}],
    }


def days(now: datetime | None = None) -> tuple[date, date]:
    """Yesterday and today in UTC, to which `date: -1` and `date: 0` of a request refer."""
    today = (now or datetime.now(UTC)).date()
    return today - timedelta(days=1), today


def fill(root: Path, wanted: Iterable[date]) -> list[date]:
    """Make the FDB below `root`, add the fields of the days that it lacks, and return these days.

    A day is marked as done when all of it is there: a run that broke off leaves one that the next run writes
    once more over itself.
    """
    (root / "data").mkdir(parents=True, exist_ok=True)
    (root / "schema").write_bytes(_SCHEMA.read_bytes())
    missing = [day for day in wanted if not _marker(root, day).exists()]
    for day in missing:
        _archive(root, day)
        _mark(_marker(root, day))
    return missing


def _archive(root: Path, day: date) -> None:
    prepare_eckit()
    import pyfdb

    # PERF: not by the data source, which checks each field as if it came from a stranger.
    archive = pyfdb.FDB(configuration(root))
    for message in chain(fields.messages(day), ensemble.messages(day)):
        archive.archive(message)
    archive.flush()


def _mark(marker: Path) -> None:
    marker.parent.mkdir(exist_ok=True)
    unfinished = marker.with_suffix(".unfinished")
    unfinished.touch()
    unfinished.rename(marker)


def _marker(root: Path, day: date) -> Path:
    """The file that says that a day is there, as this version of the code makes it."""
    sources = (Path(module.__file__ or "").read_bytes() for module in (fields, ensemble, weather))
    version = hashlib.sha256(b"".join(sources)).hexdigest()[:12]
    return root / "filled" / f"{day:%Y%m%d}-{version}"
