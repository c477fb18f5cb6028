"""The FDB of a data source: what it has of a request, and where."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

from polytope_server.datasource import Answer
from polytope_server.datasource.fdb import contents, grib
from polytope_server.datasource.fdb.errors import Errors
from polytope_server.datasource.fdb.files import path_of
from polytope_server.datasource.fdb.selection import Selection
from polytope_server.datasource.polytope.jump import Location

#: A value in one spelling, whichever library wrote it. PERF: each is asked for once per field.
canonical = lru_cache(maxsize=1 << 16)(grib.canonical)


class Archive:
    """An FDB, as it is at the time of one request: an older handle would not see what was archived since."""

    def __init__(self, name: str, config: Mapping[str, Any] | None) -> None:
        """`config` is that of the FDB; None for the one of the environment."""
        import pyfdb

        self._errors = Errors(name)
        with self._errors:
            self._fdb = pyfdb.FDB(config)

    def find(self, selection: Selection) -> Iterator[tuple[Mapping[str, str], Location]]:
        """The fields that there are of a selection: their keys, and where they are."""
        with self._errors:
            for element in self._fdb.inspect(selection):
                yield element.combined_key(), _locate(element)

    def values(self, selection: Selection, key: str) -> list[str]:
        """The values of a key that the archive has beside the others, in no order; perhaps some more."""
        with self._errors:
            axes = self._fdb.axes(selection)
            return [value for value in axes[key] if value] if key in axes else []

    def contents(self, selection: Selection) -> Answer:
        """What it has of a selection, key by key: the answer to the question CONTENTS."""
        with self._errors:
            return contents.answer(self._fdb, selection)

    def keys_of_one(self, selection: Selection) -> list[str]:
        """The keys by which the archive knows one of the fields that fit; none if there is none."""
        with self._errors:
            element = next(iter(self._fdb.list(selection)), None)
            return [key for key, value in element.combined_key().items() if value] if element else []


def _locate(element: Any) -> Location:
    uri = element.uri
    if uri.scheme() and uri.hostname():
        place = unquote(uri.path()), element.offset(), element.length()
        return Location(*place, uri.scheme(), uri.hostname(), uri.port() or 0)
    return Location(path_of(uri), element.offset(), element.length())
