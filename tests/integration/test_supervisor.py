"""The processes below a supervisor, each a fork of it: how they begin, end, and begin again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from testbed.waiting import until

_PROGRAM = """
import logging, os, signal, sys, time
from pathlib import Path
from polytope_server.commands.supervisor import Supervisor

logging.basicConfig()

def note(text):
    with open("notes", "a") as file:
        file.write(text + "\\n")

def wait(name):
    note(f"{name} {os.getpid()}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        signal.pause()
    finally:
        note(f"{name} ends")

def refuse_to_end(name):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    note(f"{name} {os.getpid()}")
    while True:
        signal.pause()

def fail(name):
    note(f"{name} {os.getpid()}")
    if not os.path.exists("mended"):
        raise RuntimeError("it is broken")
    wait(name)

def speak(name):
    note(f"{name} {os.getpid()}")
    print("last words")
    return 0

def incompatible(name):
    while "waits" not in Path("notes").read_text():
        time.sleep(0.01)
    return os.EX_CONFIG

def run(name):
    what = {"waits": wait, "last": wait, "stays": refuse_to_end, "fails": fail, "old": incompatible}
    what["speaks"] = speak
    return what[name](name)

sys.exit(0 if Supervisor(sys.argv[1:], {"last"}, run, 0.5).serve() else 3)
"""


class Supervised:
    """A supervisor in a process of its own."""

    def __init__(self, folder: Path, names: tuple[str, ...], *, closed: str = "") -> None:
        """`closed` are redirections of the shell that close descriptors before it starts."""
        self._folder = folder
        self._notes = folder / "notes"
        self._notes.touch()
        command = ["sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-c", _PROGRAM, *names]
        # What is written is kept back until the end, as it is by default.
        environment = {**os.environ, "PYTHONUNBUFFERED": ""}
        self.process = subprocess.Popen(
            command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True
        )

    def notes(self) -> list[str]:
        """What the processes have noted, in order."""
        return self._notes.read_text().splitlines()

    def pids(self, name: str) -> list[int]:
        """Those that the process of that name has had, the last one when it runs."""
        found = (note.split() for note in self.notes())
        return [int(what) for noted, what in found if noted == name and what.isdecimal()]

    def started(self, *names: str) -> None:
        """Return when each of them has started."""
        until(lambda: all(self.pids(name) for name in names))

    def stop(self) -> tuple[int, str]:
        """Stop it; returns its exit status and what it has logged."""
        self.process.send_signal(signal.SIGTERM)
        _, log = self.process.communicate(timeout=60)
        return self.process.returncode, log


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator[Callable[..., Supervised]]:
    with _supervising(tmp_path) as supervise:
        yield supervise


@contextmanager
def _supervising(folder: Path) -> Iterator[Callable[..., Supervised]]:
    made: list[Supervised] = []

    def supervise(*names: str, closed: str = "") -> Supervised:
        made.append(Supervised(folder, names, closed=closed))
        return made[-1]

    yield supervise
    for supervised in made:
        supervised.process.kill()
        supervised.process.communicate()


def test_a_process_has_a_session_a_title_and_no_input_of_its_own(
    supervise: Callable[..., Supervised],
) -> None:
    supervised = supervise("waits")
    supervised.started("waits")
    (pid,) = supervised.pids("waits")
    assert os.getsid(pid) == pid
    assert " ".join(psutil.Process(pid).cmdline()).strip() == "polytope-server waits"
    assert Path(f"/proc/{pid}/fd/0").readlink() == Path(os.devnull)
    assert supervised.stop()[0] == 0


def test_processes_need_neither_input_nor_output(supervise: Callable[..., Supervised]) -> None:
    supervised = supervise("waits", closed="<&- >&-")
    supervised.started("waits")
    status, log = supervised.stop()
    assert status == 0
    assert "Traceback" not in log
    assert len(supervised.pids("waits")) == 1


def test_a_process_whose_last_words_cannot_be_written_ends_all_the_same(
    supervise: Callable[..., Supervised],
) -> None:
    supervised = supervise("speaks", "waits", closed=">/dev/full")
    until(lambda: len(supervised.pids("speaks")) >= 2)
    status, log = supervised.stop()
    assert status == 0
    assert "the speaks ended with status 0; restarting it" in log


def test_a_process_that_was_killed_is_started_again(supervise: Callable[..., Supervised]) -> None:
    supervised = supervise("waits")
    supervised.started("waits")
    os.kill(supervised.pids("waits")[0], signal.SIGKILL)
    until(lambda: len(supervised.pids("waits")) == 2)
    status, log = supervised.stop()
    assert status == 0
    assert "the waits ended with status -9; restarting it" in log


def test_a_process_that_fails_says_why_and_the_others_run_on(
    supervise: Callable[..., Supervised], tmp_path: Path
) -> None:
    supervised = supervise("fails", "waits")
    until(lambda: len(supervised.pids("fails")) >= 3)
    (tmp_path / "mended").touch()
    until(lambda: Path(f"/proc/{supervised.pids('fails')[-1]}").exists())
    status, log = supervised.stop()
    assert status == 0
    assert "RuntimeError: it is broken" in log
    assert f"the fails ended with status {os.EX_SOFTWARE}; restarting it" in log
    assert len(supervised.pids("waits")) == 1


def test_the_last_ones_stop_after_the_others(supervise: Callable[..., Supervised]) -> None:
    supervised = supervise("last", "waits")
    supervised.started("last", "waits")
    supervised.stop()
    assert supervised.notes()[-2:] == ["waits ends", "last ends"]


def test_a_process_that_does_not_stop_is_killed(supervise: Callable[..., Supervised]) -> None:
    supervised = supervise("stays", "waits")
    supervised.started("stays", "waits")
    status, log = supervised.stop()
    assert status == 0
    assert "1 processes did not end in time and are killed" in log
    assert not psutil.pid_exists(supervised.pids("stays")[0])


def test_one_that_must_not_work_on_a_store_stops_all(supervise: Callable[..., Supervised]) -> None:
    supervised = supervise("waits", "old")
    supervised.process.communicate(timeout=60)
    assert supervised.process.returncode == 3
    assert supervised.notes()[-1] == "waits ends"


def test_no_process_outlives_its_supervisor(supervise: Callable[..., Supervised]) -> None:
    supervised = supervise("stays")
    supervised.started("stays")
    process = psutil.Process(supervised.pids("stays")[0])
    supervised.process.kill()
    process.wait(60)
