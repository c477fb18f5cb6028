"""The demonstration's FDB: its configuration, and filling it once for each day."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from polytope_demonstration import fields, weather
from polytope_server.datasource import Job
from polytope_server.datasource.fdb import FDBDataSource, FDBSettings

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

    A day is added in one piece, and marked as done afterwards: a run that broke off leaves nothing visible,
    or a day that the next run writes once more over itself.
    """
    root.mkdir(parents=True, exist_ok=True)
    (root / "schema").write_bytes(_SCHEMA.read_bytes())
    missing = [day for day in wanted if not _marker(root, day).exists()]
    if missing:
        source = FDBDataSource("demo", FDBSettings.model_validate({"fdb_config": configuration(root)}))
        source.prepare()
        for day in missing:
            source.archive(Job("demonstration", "archive", "", {"date": f"{day:%Y%m%d}"}), _read(day))
            _mark(_marker(root, day))
    return missing


def _read(day: date) -> Iterator[bytes]:
    yield from fields.messages(day)


def _mark(marker: Path) -> None:
    marker.parent.mkdir(exist_ok=True)
    unfinished = marker.with_suffix(".unfinished")
    unfinished.touch()
    unfinished.rename(marker)


def _marker(root: Path, day: date) -> Path:
    """The file that says that a day is there, as this version of the code makes it."""
    sources = (Path(module.__file__ or "").read_bytes() for module in (fields, weather))
    version = hashlib.sha256(b"".join(sources)).hexdigest()[:12]
    return root / "filled" / f"{day:%Y%m%d}-{version}"
