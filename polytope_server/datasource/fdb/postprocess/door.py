"""What is wrong with what a request wants to have made of the fields, found when it is submitted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from polytope_server.datasource import DataSourceError
from polytope_server.datasource.fdb.keys import is_off
from polytope_server.datasource.fdb.metkit import Tables
from polytope_server.datasource.fdb.postprocess.recipe import SERVED, read_recipe
from polytope_server.datasource.fdb.postprocess.vectors import describe_halves
from polytope_server.language.errors import shown
from polytope_server.language.ranges import joined, split


class Door:
    """Checks the keys that are served."""

    def __init__(self, max_points: int, known: Tables | None) -> None:
        """`known` are the parameters by their names; None where they cannot be read."""
        self._max_points = max_points
        self._known = known

    def problems(self, request: Mapping[str, Any], verb: str) -> list[str]:
        """A sentence for everything that is wrong."""
        if verb != "retrieve":
            given = {key: value for key, value in request.items() if key in SERVED and not is_off(value)}
            return [
                f"key '{key}': {shown(value)} is not accepted: fields are archived as they are; leave it out"
                for key, value in given.items()
            ]
        try:
            recipe = read_recipe(request, self._max_points)
        except DataSourceError as error:
            return [str(error)]
        return describe_halves(split(joined("param", request.get("param", ""))), recipe, self._known)
