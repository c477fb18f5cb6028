"""GribJump's index of what was archived: with it the first extraction of a field is as quick as later ones.

It is written by a program of GribJump, after the fields are visible. The plug-in that GribJump has for this
serves all FDBs of a process or none, would take the headers of the dry run for fields, and appends to files
that others read.
"""

from __future__ import annotations

import importlib.util
import logging
import subprocess
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from polytope_server.datasource.fdb.configuration import FDBConfig, roots_of

logger = logging.getLogger(__name__)

SUFFIX = ".gribjump"
"""What the name of an index has after that of the file whose fields it is of."""
_DATA = ".data"
_PACKAGE, _PROGRAM = "gribjumplib", "gribjump-scan-files"
#: Files that one run is given, and the seconds that it has: the headers of a million fields.
_TOGETHER, _TIME = 500, 600.0
#: What a check looks at of an FDB: it must not take longer than to read a configuration.
_MOST_FOLDERS, _MOST_FILES = 100, 1000


def find_program() -> Path | None:
    """The program that writes indexes; None if it is not installed."""
    found = importlib.util.find_spec(_PACKAGE)
    folders = found.submodule_search_locations if found else None
    programs = (Path(folder) / "bin" / _PROGRAM for folder in folders or ())
    return next((program for program in programs if program.is_file()), None)


def write(paths: Iterable[Path]) -> None:
    """Write the index of each of these files that has none. What goes wrong is logged: all works without."""
    program = find_program()
    if program is None:
        logger.error("no index is written: the package %s is not installed", _PACKAGE)
        return
    wanted = (path for path in paths if path.is_file() and not _index_of(path).exists())
    while together := list(islice(wanted, _TOGETHER)):
        try:
            subprocess.run(
                [program, *together], check=True, timeout=_TIME, stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace",
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError) as error:
            # CRASH: a part of an index aborts every process that reads it.
            for path in together:
                _index_of(path).unlink(missing_ok=True)
            said = error.stderr if isinstance(error, subprocess.CalledProcessError) else str(error)
            logger.error("no index of %d files is written: %s", len(together), said[-1000:])


def lacks_index(config: FDBConfig) -> bool:
    """Whether local FDBs that this process can see have fields, and no index of any that was looked at.

    The form of `config` has been checked.
    """
    files = list(islice(_data_files(config), _MOST_FILES))
    return bool(files) and not any(_index_of(file).exists() for file in files)


def _index_of(path: Path) -> Path:
    return path.with_name(path.name + SUFFIX)


def _data_files(config: FDBConfig) -> Iterator[Path]:
    folders = (folder for root in roots_of(config) for folder in _entries(Path(root["path"])))
    for folder in islice(folders, _MOST_FOLDERS):
        yield from (file for file in _entries(folder) if file.suffix == _DATA)


def _entries(folder: Path) -> Iterator[Path]:
    try:
        yield from folder.iterdir()
    except OSError:
        return
