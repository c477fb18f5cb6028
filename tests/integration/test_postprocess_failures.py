"""What happens to requests when MIR, its files or its memory fail: nothing is wrong, or left over."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from fdb_fields import message

pytestmark = pytest.mark.unmeasured

#: Of each program: a folder for weights, and what is done with the engine.
_HEAD = """
import json, logging, os, resource, signal, sys
from pathlib import Path
from polytope_server.datasource import DataSourceError, TemporaryError
from polytope_server.datasource.fdb.environment import prepare_eckit
from polytope_server.datasource.fdb.postprocess.engine import Engine
from polytope_server.datasource.fdb.postprocess.weights import Weights
from polytope_server.worker import memory

prepare_eckit()
folder, field = Path(sys.argv[1]), bytearray(Path(sys.argv[2]).read_bytes())
weights = Weights(folder, int(sys.argv[3]))
weights.prepare()
engine = Engine("trial", weights.clear)

def make(grid):
    try:
        return len(engine.apply({"grid": grid}, "a field", field)[0])
    except Exception as error:
        return [type(error).__name__, str(error)]
"""


@pytest.fixture
def start(tmp_path: Path) -> Any:
    """Starts a process with MIR."""
    (tmp_path / "field.grib").write_bytes(message())

    def start(program: str, bound: int = 1 << 30) -> subprocess.Popen[str]:
        code = _HEAD + textwrap.dedent(program)
        arguments = [str(tmp_path / "weights"), str(tmp_path / "field.grib"), str(bound)]
        command = [sys.executable, "-c", code, *arguments]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    return start


def answer_of(process: subprocess.Popen[str]) -> Any:
    printed, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors[-2000:]
    return json.loads(printed)


def test_damaged_weights_are_made_again(start: Any, tmp_path: Path) -> None:
    size = answer_of(start("print(json.dumps(make('1/1')))"))
    for path in (tmp_path / "weights").rglob("*.mat"):
        path.chmod(0o644)
        path.write_bytes(path.read_bytes()[:1000])
    assert answer_of(start("print(json.dumps(make('1/1')))")) == size
    assert all(path.stat().st_size > 1000 for path in (tmp_path / "weights").rglob("*.mat"))


def test_weights_that_cannot_be_written_are_no_fault_of_the_user(start: Any) -> None:
    program = """
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
        failed = make("1/1")
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        print(json.dumps([failed, make("1/1")]))
    """
    failed, made = answer_of(start(program))
    assert failed == ["TemporaryError", "trial cannot interpolate at the moment."]
    assert made > 10_000


def test_a_lack_of_memory_is_one(start: Any) -> None:
    """The worker's child then ends, and says so: see tests/unit/worker/test_child_memory.py."""
    program = """
        memory.limit(memory.used() + (100 << 20))
        failed = make("0.1/0.1")
        memory.limit(None)
        print(json.dumps([failed[0], make("1/1")]))
    """
    failed, made = answer_of(start(program))
    assert failed == "MemoryError"
    assert made > 10_000


def test_processes_share_weights_while_they_remove_them(start: Any, tmp_path: Path) -> None:
    """The bound has room for hardly any: each process removes what the others are about to read."""
    program = """
        made = []
        for _ in range(6):
            for grid in ("2/2", "2.5/2.5", "3/3", "O24"):
                made.append(make(grid))
                weights.trim()
        print(json.dumps(made))
    """
    processes = [start(program, bound=100_000) for _ in range(3)]
    answers = [answer_of(process) for process in processes]
    assert answers[0] == answers[0][:4] * 6
    assert answers[0] == answers[1] == answers[2]
    assert all(isinstance(size, int) for size in answers[0])
    assert not list((tmp_path / "weights").rglob("*.mat.*"))
