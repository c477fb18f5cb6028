"""Runs `polytope-server`, and starts it anew whenever its Python code changes. For development only."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from watchfiles import PythonFilter, run_process
from watchfiles.main import FileChange

CODE = Path("/opt/polytope/server/polytope_server")
PROGRAM = "/opt/polytope/server/bin/polytope-server"
#: Seconds in which the process may end in good order before the new one starts.
GRACE = 10


def tell(changes: set[FileChange]) -> None:
    """Say in the log which files have changed."""
    print("changed:", *sorted(Path(path).name for _, path in changes), flush=True)


def main() -> None:
    """Run until SIGTERM or SIGINT; a process that ends by itself is started again by the next change."""
    run_process(
        CODE,
        target=shlex.join([PROGRAM, *sys.argv[1:]]),
        target_type="command",
        watch_filter=PythonFilter(),
        callback=tell,
        sigint_timeout=GRACE,
    )


if __name__ == "__main__":
    main()
