"""Options that several commands of `polytope-server` have."""

from __future__ import annotations

import argparse
from pathlib import Path

from polytope_server.runtime import data_folder


def add_files(parser: argparse.ArgumentParser) -> None:
    """`-f`: the files of the configuration, as `files`."""
    parser.add_argument(
        *("-f", "--config"), metavar="FILE", type=Path, action="append", default=[], dest="files",
        help="configuration file; may be given several times, later files win, those of the variable "
        "POLYTOPE_CONFIG_FILES come first",
    )  # fmt: skip


def add_data(parser: argparse.ArgumentParser) -> None:
    """`--data`: the folder of the embedded back-ends, as `data`."""
    parser.add_argument(
        "--data", metavar="DIR", type=Path, default=data_folder.default(),
        help="folder of the embedded back-ends (default: %(default)s)",
    )  # fmt: skip
