"""A data source that takes memory, installed for the test process and for those that it starts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from polytope_server import backends

_MODULE = """
import mmap
from polytope_server.datasource import DataSource, Result


class GreedyDataSource(DataSource):
    kept = None

    def retrieve(self, job):
        what, size = job.coerced_request["data"].split()
        if what == "map":
            with open(__file__ + ".large", "w+b") as file:
                file.truncate(int(size))
                taken = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        else:
            taken = bytearray(int(size))
        if what == "keep":
            self.kept = taken
        return Result("x/y", [b"%d" % len(taken)])
"""


@pytest.fixture
def greedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The type `greedy`: `take N` takes N bytes, `keep N` does not give them back, `map N` maps a file."""
    folder = tmp_path / "packages"
    about = folder / "greedy-1.dist-info"
    about.mkdir(parents=True)
    (folder / "greedy.py").write_text(_MODULE)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: greedy\nVersion: 1\n")
    (about / "entry_points.txt").write_text(
        "[polytope_server.datasources]\ngreedy = greedy:GreedyDataSource\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.syspath_prepend(folder)
    backends._plug_ins.cache_clear()
    yield
    backends._plug_ins.cache_clear()
