"""An executable that behaves like the MARS client, as the key `method` of its request says.

It appends its pid, and those of the processes that it starts, to the file that MARS_TEST_PIDS names.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import psutil

#: Fields that it delivers: GRIB messages in their frame, with nothing in it.
FIELD_SIZE = 3_000_000
FIELD = b"GRIB\0\0\0\x02" + FIELD_SIZE.to_bytes(8, "big") + bytes(FIELD_SIZE - 20) + b"7777"
ERRORS = ("mars - EROR   - 20260101.120000 - Expected 5, got 2", "mars - EROR - Request failed")

_SCRIPT = f"""#!{sys.executable} -IS
import json, os, re, signal, sys, time

FIELD = b"GRIB\\0\\0\\0\\x02" + ({FIELD_SIZE}).to_bytes(8, "big") + bytes({FIELD_SIZE} - 20) + b"7777"
request = open(sys.argv[1]).read()
target = re.search('target="([^"]*)"', request)[1]
method = (re.search("method=([a-z]+)", request) or ["", "good"])[1]


def note_pid():
    with open(os.environ["MARS_TEST_PIDS"], "a") as file:
        file.write(f"{{os.getpid()}}\\n")


def log(text):
    print("mars - INFO   - 20260101.120000 -", text, flush=True)


def write(*parts):
    with open(target, "wb") as file:
        for part in parts:
            file.write(part)


def leave_daemon():
    # Twice forked, with a session of its own: it belongs to no one.
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            note_pid()
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            time.sleep(3600)
        os._exit(0)
    os.wait()


note_pid()
log("Requesting 2 fields")
if method == "good":
    write(FIELD, FIELD)
elif method == "twice":
    write(FIELD)
    with open(target, "ab") as file:
        file.write(FIELD)
elif method == "environment":
    write(json.dumps([request, dict(os.environ), os.listdir(".")]).encode())
elif method == "home":
    path = os.environ["MARS_HOME"] + "/etc/mars-client/databases.yaml"
    databases = open(path).read()
    found = re.search("home: (.*)", databases)
    fdb = open(found[1] + "/etc/fdb/config.yaml").read() if found else ""
    write(json.dumps([databases, fdb]).encode())
elif method == "fails":
    print({ERRORS[0]!r}, flush=True)
    print({ERRORS[1]!r}, file=sys.stderr, flush=True)
    sys.exit(7)
elif method == "warns":
    print({ERRORS[0]!r}, flush=True)
    write(FIELD)
elif method == "late":
    write(FIELD, FIELD[:1000])
    print("mars - EROR - the disk is full at", target, flush=True)
    sys.exit(2)
elif method == "cut":
    write(FIELD, FIELD[: {FIELD_SIZE} // 2])
elif method == "dies":
    write(FIELD, FIELD[:1000])
    os.kill(os.getpid(), signal.SIGKILL)
elif method == "floods":
    line = b"x" * 99 + b"\\n"
    for _ in range(100):
        os.write(1, line * 1000)
    os.write(2, b"y" * 10_000_000)
    write(FIELD)
elif method == "daemon":
    leave_daemon()
    write(FIELD)
elif method in ("hangs", "stubborn"):
    leave_daemon()
    if method == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    log("Waiting for a tape")
    while True:
        time.sleep(3600)
elif method == "streams":
    with open(target, "wb") as file:
        while True:
            file.write(FIELD)
elif method == "fewer":
    write(FIELD[:8] + ({FIELD_SIZE} + 10).to_bytes(8, "big") + FIELD[16:])
elif method == "bufr":
    write(b"BUFR" + (40).to_bytes(3, "big") + b"\\x04" + bytes(28) + b"7777")
elif method != "nothing":
    sys.exit(99)
log("No errors reported")
"""


class MARSClient:
    """The executable, in a folder, and the processes that it was."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "mars"
        self.path.write_text(_SCRIPT)
        self.path.chmod(0o755)
        self._pids = folder / "pids"
        self._pids.touch()
        #: What its environment must have.
        self.variables = {"MARS_TEST_PIDS": str(self._pids)}

    def pids(self) -> list[int]:
        """The processes so far, whether they still run or not."""
        return [int(line) for line in self._pids.read_text().split()]

    def running(self) -> list[int]:
        """Those that still run."""
        return [pid for pid in self.pids() if _runs(pid)]

    def forget(self) -> None:
        """Begin again with the next request."""
        os.truncate(self._pids, 0)


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
