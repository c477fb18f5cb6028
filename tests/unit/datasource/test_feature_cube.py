"""The fields of a request as a cube: each in the place of its own values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from polytope_server.datasource.polytope.cube import MISSING, find
from polytope_server.datasource.polytope.jump import Location


class FilledArchive:
    """An archive that has these fields, whatever is asked for."""

    def __init__(self, *fields: Mapping[str, str]) -> None:
        self._fields = fields

    def find(self, selection: Any) -> Iterator[tuple[Mapping[str, str], Location]]:
        for n, keys in enumerate(self._fields):
            yield keys, Location(f"/file {n}", 0, 1)


def find_in(selection: dict[str, list[str]], *fields: Mapping[str, str]) -> Any:
    archive: Any = FilledArchive(*fields)
    return find(archive, selection)


def test_each_field_has_the_place_of_its_values() -> None:
    cube = find_in({"param": ["167"], "step": ["0", "6"]}, {"param": "2t", "step": "6"})
    assert cube.fields.tolist() == [[MISSING, 0]]


def test_a_field_that_was_not_asked_for_takes_no_place() -> None:
    cube = find_in({"step": ["0", "6"]}, {"step": "3"}, {"step": "6"})
    assert cube.fields.tolist() == [MISSING, 0]


def test_a_key_that_fields_are_not_filed_by_chooses_none() -> None:
    cube = find_in({"number": ["1", "2"], "step": ["0", "6"]}, {"step": "0"}, {"step": "6"})
    assert cube.axes == {"number": ("1",), "step": ("0", "6")}
    assert cube.fields.tolist() == [[0, 1]]
