"""Winds that are stored as vorticity and divergence: MIR makes their components, as it does for MARS.

An FDB answers requests for winds that it does not have with these two, and says nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from polytope_server.datasource import DataSourceError
from polytope_server.datasource.fdb.metkit import Tables as Parameters
from polytope_server.datasource.fdb.postprocess.tables import VORTICITY_DIVERGENCE, WIND
from polytope_server.datasource.fdb.postprocess.vectors import number_of
from polytope_server.datasource.fdb.selection import Filed, Selection

#: The numbers of the parameters that the fields of a selection are filed under.
Params = Callable[[Selection], Collection[str]]

_SOURCE = [str(number) for number in VORTICITY_DIVERGENCE]


@dataclass(frozen=True)
class Sources:
    """The fields that are read for what is wanted: those `named`, and those of which `winds` are made."""

    wanted: Selection
    named: Selection
    winds: Selection = field(default_factory=dict)
    #: The options of MIR for these.
    options: Mapping[str, str] = field(default_factory=dict)

    #: The numbers of the winds that are made, by the texts that name them.
    made: Mapping[str, int] = field(default_factory=dict)

    def look(self, inspect: Callable[[Selection], Iterable[Filed]], part: Selection) -> Iterator[Filed]:
        """The fields of a part of what is wanted that are there, by a callable that asks the archive.

        A wind is there if both its sources are. The first of two has the bytes of both.
        """
        numbers = sorted({self.made[text] for text in part.get("param", []) if text in self.made})
        if not numbers:
            yield from inspect(part)
            return
        if named := [text for text in part["param"] if text not in self.made]:
            yield from inspect({**part, "param": named})
        for keys, size in _find_pairs(inspect({**part, "param": _SOURCE})):
            yield {**keys, "param": str(numbers[0])}, size
            yield from (({**keys, "param": str(number)}, 0) for number in numbers[1:])


def find_sources(wanted: Selection, known: Parameters | None, filed: Params) -> Sources:
    """What is read for the winds that are wanted, where the archive has them, and where it has their sources.

    Raises DataSourceError if it has some of the winds, and the sources of others.
    """
    params = wanted.get("param", [])
    winds = {text: number for text in params if (number := number_of(text, known)) in WIND}
    found = set(filed({**wanted, "param": [*winds]})) if winds else set()
    if found.isdisjoint(_SOURCE):
        return Sources(wanted, wanted)
    if not found.isdisjoint(map(str, WIND)):
        raise DataSourceError(
            "key 'param': some of these winds are stored as they are, and others as vorticity and "
            "divergence; ask for each kind by itself"
        )
    rest = [text for text in params if text not in winds]
    only = {"u-only": "1"} if WIND[1] not in winds.values() else {}
    only |= {"v-only": "1"} if WIND[0] not in winds.values() else {}
    named = {**wanted, "param": rest} if rest else {}
    return Sources(wanted, named, {**wanted, "param": _SOURCE}, {"vod2uv": "1", **only}, winds)


def _find_pairs(fields: Iterable[Filed]) -> Iterator[Filed]:
    """The pairs of fields that differ in their parameter only: the keys of one, and the bytes of both."""
    # Texts, as there may be very many that wait for the other one.
    waiting: dict[str, int] = {}
    for keys, size in fields:
        others = ",".join(f"{key}={value}" for key, value in sorted(keys.items()) if key != "param")
        if others in waiting:
            yield keys, size + waiting.pop(others)
        else:
            waiting[others] = size
