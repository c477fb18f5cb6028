"""Why an archive has nothing of a request, by the parameters that its own metkit knows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from polytope_server.datasource.fdb import absence
from polytope_server.datasource.fdb.metkit import Tables, tables

OWN = replace(tables(), names={"own": 167})


class Axes:
    """An FDB with one parameter at one step: one with a metkit of its own would need a process."""

    def axes(self, outer: object) -> dict[str, list[str]]:
        return {"step": ["0"], "param": ["167"]}


@pytest.mark.parametrize(
    ("known", "param", "there"),
    [
        (tables(), "2t", "step=0"),
        (tables(), "msl", "step=0, param=167"),
        (OWN, "own", "step=0"),
        (OWN, "2t", "step=0, param=167"),
        (None, "167", "step=0"),
    ],
)
def test_a_parameter_that_is_there_is_not_named(known: Tables | None, param: str, there: str) -> None:
    wanted = {"date": ["20260101"], "step": ["6"], "param": [param]}
    assert absence.explain(Axes(), wanted, known) == f". There it has {there}"
