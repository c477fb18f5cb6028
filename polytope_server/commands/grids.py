"""`polytope-server grid-service`: tells other servers which grid fields have."""

from __future__ import annotations

import argparse
from pathlib import Path

_HELP = "tell earlier servers which grid the fields of an FDB have"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command; it sets `run`, a function of the parsed arguments."""
    parser = subparsers.add_parser("grid-service", help=_HELP, description=_HELP)
    parser.add_argument("--host", default="127.0.0.1", help="where to listen (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8765, help="port to listen on (default: %(default)s)")
    parser.add_argument(
        *("--fdb-config", ), metavar="FILE", type=Path, default=None,
        help="configuration of the FDB (default: that of the environment)",
    )  # fmt: skip
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from polytope_server.grid_service.server import Server

    Server(options.host, options.port, options.fdb_config).run()
    return 0
