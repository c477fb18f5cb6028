"""The folder of MIR's weights, and its bound."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

import pytest

from polytope_server.datasource.fdb.postprocess.weights import Weights

NOW = time.time()


def write(folder: Path, name: str, size: int, age: float) -> Path:
    """A file that was used `age` seconds ago."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    os.utime(path, (NOW - age, NOW - age))
    return path


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file() and not path.name.endswith(".lock")}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(5):
        write(tmp_path, f"mir/weights/O32-1.25/{number}.mat", 100, 1000 - number)
    return tmp_path


def test_what_was_not_used_for_longest_goes_first(folder: Path) -> None:
    Weights(folder, 250).trim()
    assert left(folder) == {"3.mat", "4.mat"}


def test_a_file_that_was_read_lately_stays(folder: Path) -> None:
    os.utime(folder / "mir/weights/O32-1.25/0.mat", (NOW, NOW - 1000))
    Weights(folder, 250).trim()
    assert left(folder) == {"0.mat", "4.mat"}


def test_within_the_bound_nothing_goes(folder: Path) -> None:
    Weights(folder, 500).trim()
    assert len(left(folder)) == 5


def test_files_of_all_kinds_count(folder: Path) -> None:
    write(folder, "mir/legendre/4/local-T63.leg", 200, 0)
    Weights(folder, 250).trim()
    assert left(folder) == {"local-T63.leg"}


def test_a_file_larger_than_the_bound_goes_too(folder: Path) -> None:
    write(folder, "mir/search/2/O1280.kdtree", 1000, 0)
    Weights(folder, 500).trim()
    assert left(folder) == set()


def test_what_is_being_written_stays(folder: Path) -> None:
    write(folder, "mir/weights/5.mat.20261130.091509.host.1234", 1000, 60)
    Weights(folder, 0).trim()
    assert left(folder) == {"5.mat.20261130.091509.host.1234"}


def test_what_a_process_left_unfinished_goes(folder: Path) -> None:
    write(folder, "mir/weights/5.mat.20261130.091509.host.1234", 1000, 2 * 3600)
    Weights(folder, 500).trim()
    assert len(left(folder)) == 5


def test_all_are_cleared(folder: Path) -> None:
    Weights(folder, 500).clear()
    assert left(folder) == set()


def test_one_process_trims_at_a_time(folder: Path) -> None:
    with (folder / "polytope.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        Weights(folder, 0).trim()
        assert len(left(folder)) == 5
    Weights(folder, 0).trim()
    assert left(folder) == set()


def test_a_reader_keeps_what_it_has_opened(folder: Path) -> None:
    with (folder / "mir/weights/O32-1.25/0.mat").open("rb") as file:
        Weights(folder, 0).trim()
        assert len(file.read()) == 100


def test_a_folder_that_mir_would_take_for_two_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must not have a colon"):
        Weights(tmp_path / "a:b", 0).prepare()
