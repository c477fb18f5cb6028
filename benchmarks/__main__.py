"""`python -m benchmarks`: measure, show a table, and keep the figures with the commit that they belong to."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import (
    abuse,
    features,
    figures,
    interpolation,
    polling,
    production,
    production_scale,
    standalone,
    transfers,
)
from benchmarks.figure import FULL, QUICK, Figure, Plan
from testbed.services import NotInstalledError

Bench = Callable[..., AbstractContextManager[Any]]
#: What is measured in turn: what it runs on, and the measurements.
GROUPS: tuple[
    tuple[Callable[..., AbstractContextManager[Any]], Sequence[Callable[..., list[Figure]]]], ...
] = (
    (standalone.bench, figures.MEASUREMENTS),
    (polling.bench, polling.MEASUREMENTS),
    (production.bench, (*production.MEASUREMENTS, *production_scale.MEASUREMENTS)),
    (transfers.bench, transfers.MEASUREMENTS),
    (abuse.bench, abuse.MEASUREMENTS),
    (features.bench, features.MEASUREMENTS),
    (interpolation.bench, interpolation.MEASUREMENTS),
)
ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    # Everything is on this machine; `requests` and polytope-client would go through a proxy.
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[name]
    plan = QUICK if options.quick else FULL
    begun = datetime.now(UTC)
    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="polytope-bench-", dir=options.folder) as folder:
        found = measure(plan, Path(folder), set(options.only))
    if not found:
        print(f"no such measurement; there are: {', '.join(names())}", file=sys.stderr)
        return 2
    print(table(found))
    if (file := _target_file(options, begun)) is not None:
        document = {**_circumstances(begun, load_before), "quick": options.quick}
        document["figures"] = [figure.to_document() for figure in found]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(document, indent=1) + "\n")
        print(f"\nwritten to {file}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmarks", description="Measure a standalone server.")
    parser.add_argument(
        "--quick", action="store_true", help="a short form that shows only that all is measured"
    )
    parser.add_argument(
        "--only", metavar="NAME", nargs="+", default=[], help=f"some of: {', '.join(names())}"
    )
    parser.add_argument(
        "--output", metavar="FILE", type=Path,
        help="where the figures go (default: benchmarks/results/DATE-COMMIT.json, for a complete run)",
    )  # fmt: skip
    parser.add_argument(
        "--folder", metavar="DIR", help="a folder on the disk to measure (default: the temporary)"
    )
    return parser


def names() -> list[str]:
    """The measurements that `--only` knows."""
    return ["start_up", *(function.__name__ for _, group in GROUPS for function in group)]


def measure(plan: Plan, folder: Path, only: set[str]) -> list[Figure]:
    """All figures, or those of some measurements."""
    found: list[Figure] = []
    if not only or "start_up" in only:
        _progress("start_up")
        found += figures.start_up(plan, folder)
    for bench, group in GROUPS:
        chosen = [function for function in group if not only or function.__name__ in only]
        if not chosen:
            continue
        try:
            with bench(plan, folder) as run:
                for function in chosen:
                    _progress(function.__name__)
                    os.sync()  # what the measurement before has left to write must not slow this one
                    found += function(run)
        except NotInstalledError as error:
            print(f"not measured, {error}", file=sys.stderr)
    return found


def _progress(name: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {name}", file=sys.stderr, flush=True)


def table(found: list[Figure]) -> str:
    """The figures for people to read."""
    rows = [("figure", "value", "", "floor", "ratio", "target", "")]
    for figure in found:
        target = str(figure.target) if figure.target else ""
        verdict = {True: "met", False: "MISSED", None: ""}[figure.met]
        floor, ratio = _number(figure.floor_value), _percent(figure.ratio)
        rows.append((figure.name, _number(figure.value), figure.unit, floor, ratio, target, verdict))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    right = {1, 3, 4}
    lines = [
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"


def _percent(ratio: float | None) -> str:
    if ratio is None:
        return ""
    return f"{ratio:.0%}" if ratio < 2 else f"{ratio:.1f}x"


def _target_file(options: argparse.Namespace, begun: datetime) -> Path | None:
    """Where the figures go. A short or partial run is not worth keeping, unless one says where."""
    if options.output is not None:
        return Path(options.output)
    if options.quick or options.only:
        return None
    return RESULTS / f"{begun:%Y%m%dT%H%M}-{_commit()[:10]}.json"


def _circumstances(begun: datetime, load_before: float) -> dict[str, Any]:
    return {
        "commit": _commit(),
        "date": f"{begun:%Y-%m-%dT%H:%M:%SZ}",
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "load_before": round(load_before, 2),
    }


def _commit() -> str:
    """The commit of the tree, `unknown` outside of a repository."""
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else "unknown"


if __name__ == "__main__":
    sys.exit(main())
