"""Archives uploads into one FDB: all of an upload, or nothing of it."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from polytope_server.datasource import DataSourceError
from polytope_server.datasource.fdb import dry_run, grib
from polytope_server.datasource.fdb.errors import Errors
from polytope_server.datasource.fdb.expectation import Expectation
from polytope_server.datasource.fdb.selection import Selection

#: A failed archive leaves an FDB object behind, with two open files each (see `_abandon`).
_MAX_ABANDONED = 100


class Archiver:
    """Archives into the FDB that `open_fdb` opens, after a dry run that `make_trial` makes."""

    def __init__(
        self,
        name: str,
        open_fdb: Callable[[], Any],
        make_trial: Callable[[Callable[[Any], None]], dry_run.DryRun],
        max_message: int,
        read_only: bool,
    ) -> None:
        """`make_trial` is given what keeps an FDB object from being flushed; `read_only` as for Errors."""
        self._name = name
        self._open = open_fdb
        self._make_trial = make_trial
        self._max_message = max_message
        self._errors = Errors(name, read_only)
        #: How many FDB objects were given up.
        self.abandoned = 0

    def archive(
        self, data: Iterable[bytes], allowed: Mapping[str, Collection[str]], expected: Expectation | None
    ) -> Selection:
        """Archive an upload.

        `allowed` are the values that its fields may have, by key, as made by `grib.canonical`. Returns the
        values by which they are filed. Raises DataSourceError, TemporaryError.
        """
        if self.abandoned >= _MAX_ABANDONED:
            # Ends this child process; the worker starts another, and tries the request there.
            raise SystemExit(f"data source {self._name}: too many failed archives in one process")
        writer = None
        try:
            with self._make_trial(self._abandon) as trial:
                for message in grib.split(data, self._max_message):
                    field = grib.read_field(message)
                    grib.check_identity(field.keys, allowed)
                    with self._errors:
                        trial.add(field)
                        writer = writer or self._open()
                        writer.archive(message)
                    # Or this name would keep it while the next one is read.
                    del message
                with self._errors:
                    trial.check()
            if writer is None:
                raise DataSourceError("the upload holds no GRIB message")
            if expected and (misfit := expected.describe_misfit(trial.count)):
                raise DataSourceError(f"{misfit}, and the upload holds {trial.count}")
            with self._errors:
                writer.flush()
        except BaseException:
            self._abandon(writer)
            raise
        return trial.filed

    def _abandon(self, writer: Any) -> None:
        """Keep what was archived through `writer` from becoming visible.

        Destroying an FDB object flushes it, even at the end of the process. One reference too many keeps
        it from being destroyed, so that its index is never written.
        """
        if writer is not None:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(writer.FDB))
            self.abandoned += 1
