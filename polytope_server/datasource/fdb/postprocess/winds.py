"""Winds that are stored as vorticity and divergence: MIR makes their components, as it does for MARS.

An FDB answers requests for winds that it does not have with these two, and says nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from polytope_server.datasource import DataSourceError
from polytope_server.datasource.fdb.metkit import Tables as Parameters
from polytope_server.datasource.fdb.postprocess.tables import VORTICITY_DIVERGENCE, WIND
from polytope_server.datasource.fdb.postprocess.vectors import number_of
from polytope_server.datasource.fdb.selection import Selection

#: The numbers of the parameters that the fields of a selection are filed under.
Filed = Callable[[Selection], Collection[str]]

_SOURCE = [str(number) for number in VORTICITY_DIVERGENCE]


@dataclass(frozen=True)
class Sources:
    """The fields that are read for what is wanted: as they are named, and those of which winds are made."""

    named: Selection
    winds: Selection = field(default_factory=dict)
    #: The options of MIR for these.
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def selection(self) -> Selection:
        """All of them."""
        if not self.winds:
            return self.named
        return {**self.winds, "param": self.named.get("param", []) + _SOURCE}


def find_sources(wanted: Selection, known: Parameters | None, filed: Filed) -> Sources:
    """What is read for the winds that are wanted, where the archive has them, and where it has their sources.

    Raises DataSourceError if it has some of the winds, and the sources of others.
    """
    params = wanted.get("param", [])
    winds = {text: number for text in params if (number := number_of(text, known)) in WIND}
    found = set(filed({**wanted, "param": [*winds]})) if winds else set()
    if found.isdisjoint(_SOURCE):
        return Sources(wanted)
    if not found.isdisjoint(map(str, WIND)):
        raise DataSourceError(
            "key 'param': some of these winds are stored as they are, and others as vorticity and "
            "divergence; ask for each kind by itself"
        )
    rest = [text for text in params if text not in winds]
    only = {"u-only": "1"} if WIND[1] not in winds.values() else {}
    only |= {"v-only": "1"} if WIND[0] not in winds.values() else {}
    named = {**wanted, "param": rest} if rest else {}
    return Sources(named, {**wanted, "param": _SOURCE}, {"vod2uv": "1", **only})
