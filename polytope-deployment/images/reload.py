"""Runs `polytope-server`, and restarts it whenever its Python code changes. For development only.

A process that ends by itself, for a mistake in the code most likely, is started again by the next change.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

from watchfiles import PythonFilter, watch

CODE = Path("/opt/polytope/server/polytope_server")
PROGRAM = "/opt/polytope/server/bin/polytope-server"
#: Seconds in which the process may end in good order before the new one starts: the developer waits.
GRACE = 2.0


def main() -> None:
    """Run until SIGTERM or SIGINT, which the process gets, too, with all the time that it needs."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    child = start()
    for changes in watch(CODE, watch_filter=PythonFilter(), stop_event=stop):
        print("changed:", *sorted(Path(path).name for _, path in changes), flush=True)
        end(child, GRACE)
        child = start()
    end(child, None)


def start() -> subprocess.Popen[bytes]:
    """Start the process, as the leader of a group of its own."""
    return subprocess.Popen([PROGRAM, *sys.argv[1:]], start_new_session=True)


def end(child: subprocess.Popen[bytes], patience: float | None) -> None:
    """Ask it to end; after these seconds kill what is left of it and of its group. None waits for ever."""
    child.terminate()
    with suppress(subprocess.TimeoutExpired):
        child.wait(patience)
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


if __name__ == "__main__":
    main()
