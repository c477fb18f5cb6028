"""Interpolation: fields on another grid through the whole server, and by MIR's command line."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

from benchmarks.figure import Figure, Plan, Target, alternate, timed
from polytope_demonstration import fdb as demo
from polytope_demonstration import fields
from testbed import mir
from testbed.server import StandaloneServer

_DAY = date(2026, 1, 1)
_LABEL = {"class": "od", "stream": "oper", "type": "fc", "expver": "0001", "domain": "g", "levtype": "sfc"}
_SCHEMA = Path(demo.__file__).with_name("schema")
#: To compute the weights of O1280 takes MIR 3.7 GiB.
_MEMORY = "6G"


@dataclass(frozen=True)
class Bench:
    """A server on an FDB, and its fields in a file for the command line."""

    plan: Plan
    server: StandaloneServer
    folder: Path

    @property
    def source(self) -> Path:
        """All fields, one after the other."""
        return self.folder / "fields.grib"

    def retrieve(self, grid: str) -> None:
        """All fields on a grid, from the submission to the last byte."""
        session = self.server.session()
        steps = f"0/to/{self.plan.interpolated - 1}/by/1"
        request = {
            **_LABEL,
            "date": f"{_DAY:%Y%m%d}",
            "time": "0000",
            "param": "2t",
            "step": steps,
            "grid": grid,
        }
        request_id = self.server.submit(session, "fields", request)
        assert self.server.result(session, request_id)

    def run_command(self, grid: str) -> None:
        """The same by the command line, which has the same weights."""
        command = [mir.program(), f"--grid={grid}", str(self.source), str(self.folder / "made.grib")]
        weights = self.server.data / "weights"
        subprocess.run(command, env=mir.environment(weights), check=True, capture_output=True, timeout=600)


@contextmanager
def bench(plan: Plan, folder: Path) -> Iterator[Bench]:
    """An FDB with some fields, and a server that interpolates them."""
    import pyfdb

    root = folder / "interpolation"
    (root / "data").mkdir(parents=True)
    (root / "schema").write_bytes(_SCHEMA.read_bytes())
    config = demo.configuration(root)
    fdb = pyfdb.FDB(config)
    with (root / "fields.grib").open("wb") as file:
        for message in _messages(plan):
            fdb.archive(message)
            file.write(message)
    fdb.flush()
    source = {"type": "fdb", "fdb_config": config, "postprocess": True, "max_memory": _MEMORY}
    collections = {"fields": {"roles": {"test": ["default"]}, "datasources": ["fields"]}}
    settings = {"datasources": {"fields": source}, "collections": collections}
    with StandaloneServer(folder / "interpolation-server", settings) as server:
        yield Bench(plan, server, root)


def _messages(plan: Plan) -> Iterator[bytes]:
    points = len(fields.coordinates(plan.grid)[0])
    random = np.random.default_rng(1)
    smooth = 280 + 20 * np.cos(np.linspace(0, 400, points))
    for step in range(plan.interpolated):
        values = smooth + random.normal(0, 0.5, points)
        yield fields.encode(fields.Label("2t", _DAY, step), values, plan.grid)


def interpolation(run: Bench) -> list[Figure]:
    """Fields on a regular grid, whose weights are known."""
    grid = "0.1/0.1" if run.plan.grid > 1000 else "2/2"
    run.retrieve(grid)
    name = f"{run.plan.interpolated} fields of O{run.plan.grid} to {grid}"
    theirs, ours = alternate(
        run.plan, lambda: timed(lambda: run.run_command(grid)), lambda: timed(lambda: run.retrieve(grid))
    )
    target = Target(1.3, of_ratio=True, at_least=False)
    return [Figure(f"interpolation, {name}", "s", ours, theirs, "MIR's command line", target)]


MEASUREMENTS: tuple[Callable[[Bench], list[Figure]], ...] = (interpolation,)
