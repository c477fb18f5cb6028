"""GribJump: values of some points of fields, without decoding the fields.

Fields are named by file and offset, which the FDB of the data source gave (see :mod:`archive`). GribJump
itself would look for an FDB in the environment, of which a process has only one.
"""

from __future__ import annotations

import ctypes
import logging
import os
import resource
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import yaml

from polytope_server.datasource import DataSourceError, TemporaryError, WornOutError
from polytope_server.datasource.polytope.arrays import Floats

logger = logging.getLogger(__name__)

#: Half-open ranges of indices, sorted and apart.
Pairs = list[list[int]]

_LIBRARY, _VARIABLE = "gribjump", "GRIBJUMP_CONFIG_FILE"
#: Fields whose structure GribJump remembers, some kilobytes each: more than it is asked for at once. By
#: default they are fewer, and then a series of more fields finds none of them again.
_REMEMBERED = 6000
#: Files that the FDB and other libraries may open meanwhile, and those that a process has when it starts.
_SPARE_FILES, _FILES_AT_START = 64, 64
#: How GribJump says that a field has another grid than it was asked for.
_OTHER_GRID = "Grid hash mismatch"


@dataclass(frozen=True, slots=True)
class Location:
    """Where the message of a field is."""

    path: str
    offset: int
    length: int
    scheme: str = "file"
    host: str = ""
    port: int = 0


class OtherGridError(DataSourceError):
    """A field has another grid than was thought."""


#: The configuration that GribJump has read: it reads one in the life of a process.
_read: dict[str, Any] = {}


def import_library() -> None:
    """Import pygribjump for good, which takes long. Raises ImportError."""
    import findlibs

    if found := findlibs.find(_LIBRARY):
        # SEGFAULT: cffi unloads it when the interpreter ends, and the FDB's library then calls into it.
        ctypes.CDLL(found)
    import pygribjump  # noqa: F401


def _open(name: str, config: Mapping[str, Any]) -> Any:
    """A GribJump with a configuration. Raises WornOutError if it has read another one in this process."""
    import pygribjump

    config = {"type": "local", "cache": {"size": _REMEMBERED}, **config}
    if _read == config:
        return pygribjump.GribJump()
    if _read:
        raise WornOutError(f"data source {name}: this process has read another configuration of GribJump")
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump(config, file)
        file.flush()
        with _variable(_VARIABLE, file.name):
            opened = pygribjump.GribJump()
    _read.update(config)
    return opened


@contextmanager
def _variable(name: str, value: str) -> Iterator[None]:
    """Set a variable of the environment, which processes that are started later must not see."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


class Jump:
    """Extracts values for one data source."""

    def __init__(self, name: str, config: Mapping[str, Any]) -> None:
        """`config` is that of GribJump, which reads one in the life of a process."""
        self._name = name
        self._config = config
        self._opened: Any = None

    def open(self) -> None:
        """Be ready to extract.

        Raises WornOutError if this process has read another configuration, and TemporaryError.
        """
        if self._opened is None:
            with self._errors():
                self._opened = _open(self._name, self._config)

    def reserve_files(self, fields: Iterable[Location]) -> None:
        """See to it that these fields can be opened.

        GribJump 0.13 opens the file of a field without an index once for that field, and never closes it.
        Raises WornOutError if this process has too many files open, and DataSourceError if any process had.
        """
        indexed = cache(_has_index)
        needed = sum(not field.host and not indexed(field.path) for field in fields)
        room = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - _SPARE_FILES
        if needed <= room - _count_open_files():
            return
        if needed <= room - _FILES_AT_START:
            raise WornOutError(f"data source {self._name}: too many files are open to read {needed} fields")
        raise DataSourceError(
            f"{needed} of the fields have no index of GribJump; of such fields at most "
            f"{max(0, room - _FILES_AT_START)} can be read at a time. Ask for fewer, or ask the operator of "
            "the server to make the index"
        )

    def extract(self, wanted: Sequence[tuple[Location, Pairs]], md5: str) -> list[Floats]:
        """The values of some ranges of each of some fields, which are all different; to be opened before.

        NaN where a field has no value. OtherGridError for a field whose grid is not the one with this sum.
        """
        found: dict[int, Floats] = {}
        # DEADLOCK: of several files, GribJump waits for ever for those after one that it cannot read.
        for places in _by_file(wanted).values():
            found |= zip(places, self._extract_of_file([wanted[n] for n in places], md5), strict=True)
        return [found[n] for n in range(len(wanted))]

    def _extract_of_file(self, wanted: Sequence[tuple[Location, Pairs]], md5: str) -> list[Floats]:
        import pygribjump

        with self._errors():
            requests = [
                pygribjump.PathExtractionRequest(
                    field.path, field.scheme, field.offset, field.host, field.port, ranges, md5
                )
                for field, ranges in wanted
            ]
            # A copy: the view is one of memory that ends with the result.
            found = [np.array(one.values_flat) for one in self._opened.extract_from_paths(requests)]
        if len(found) != len(wanted):
            logger.error("data source %s: %d of %d fields came", self._name, len(found), len(wanted))
            raise TemporaryError(f"{self._name} cannot read the data at the moment.")
        return found

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Translates what GribJump raises."""
        import pygribjump

        try:
            yield
        except (pygribjump.GribJumpException, UnicodeDecodeError) as error:
            if _OTHER_GRID in str(error):
                raise OtherGridError(
                    "the fields of one parameter are on different grids; ask for those of each grid apart"
                ) from None
            logger.error("data source %s: %s", self._name, error)
            raise TemporaryError(f"{self._name} cannot read the data at the moment.") from None


def _has_index(path: str) -> bool:
    return os.path.exists(f"{path}.gribjump")


def _count_open_files() -> int:
    return len(os.listdir("/dev/fd"))


def _by_file(wanted: Sequence[tuple[Location, Pairs]]) -> dict[tuple[str, str, int], list[int]]:
    """The places of the fields of each file."""
    places: dict[tuple[str, str, int], list[int]] = {}
    for n, (field, _) in enumerate(wanted):
        places.setdefault((field.host, field.path, field.port), []).append(n)
    return places
