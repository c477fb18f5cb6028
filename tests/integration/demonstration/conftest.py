"""The demonstration's data, and its server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from polytope_demonstration import server, setup


@pytest.fixture(scope="package")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder that is filled once; only one server at a time may use it."""
    folder = tmp_path_factory.mktemp("demonstration")
    setup.prepare(folder, 1)
    return folder


@pytest.fixture(scope="package")
def running(data: Path) -> Iterator[setup.Setup]:
    prepared = setup.prepare(data, server.free_port(), postprocess=True)
    with server.running(prepared, data / "archive.log"):
        yield prepared
