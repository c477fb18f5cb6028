"""Post-processing in a data source: its keys, and its part in a retrieval."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Any

from pydantic import Field

from polytope_server.datasource import DataSourceSettings, Job
from polytope_server.datasource.fdb.metkit import Tables
from polytope_server.datasource.fdb.postprocess.engine import Engine
from polytope_server.datasource.fdb.postprocess.recipe import Recipe, read_recipe
from polytope_server.datasource.fdb.postprocess.stream import Open, Tools, produce
from polytope_server.datasource.fdb.postprocess.tables import VORTICITY_DIVERGENCE
from polytope_server.datasource.fdb.postprocess.vectors import divide, each
from polytope_server.datasource.fdb.postprocess.weights import Weights
from polytope_server.datasource.fdb.postprocess.winds import Sources
from polytope_server.runtime import data_folder
from polytope_server.settings.values import Size

_FOLDER = "weights"


class PostprocessSettings(DataSourceSettings):
    """Keys for the post-processing of fields."""

    postprocess: bool = Field(
        False,
        description="Whether fields are interpolated, cut, rotated, truncated and packed as requests ask for "
        "it (`grid`, `area`, `rotation` ...), by ECMWF's MIR. Needs the extra `mir`.",
    )
    weights: Path | None = Field(
        None,
        description="Folder for what MIR has computed, such as weights of interpolations, which takes "
        "seconds to minutes for a new pair of grids; by default `weights` in the data folder of the worker. "
        "All data sources of a worker have one.",
    )
    max_weights: Size = Field(
        5 << 30,
        description="The most bytes in that folder. Beyond them what was not used for longest is removed.",
    )
    max_points: int = Field(
        30_000_000,
        ge=1,
        description="The most points that a field may have on the grid that a request asks for. `max_memory` "
        "must be enough for it.",
    )

    def warnings(self) -> Iterator[str]:
        if self.postprocess and find_spec("mir") is None:
            yield "postprocess needs the package mir-python, of the extra mir, where a worker runs"


class Service:
    """Post-processes for one data source, in a child process."""

    def __init__(self, name: str, settings: PostprocessSettings, known: Tables | None) -> None:
        """`known` are the parameters by their names, if they are known. Raises OSError, ImportError."""
        self._settings = settings
        self._known = known
        self._weights = Weights(_choose_folder(settings), settings.max_weights)
        self._weights.prepare()
        self._engine = Engine(name, self._weights.clear)

    def read(self, request: Mapping[str, Any]) -> Recipe:
        """What is to be done for a request. Raises DataSourceError."""
        return read_recipe(request, self._settings.max_points)

    def produce(
        self, job: Job, recipe: Recipe, sources: Sources, open_: Open, fields: int
    ) -> Iterator[memoryview]:
        """The messages that become of these sources, which are `fields`; see `stream`."""
        tools = Tools(self._engine, self._weights, open_)
        parts = divide(sources.named, recipe, self._known) if sources.named else iter(())
        winds = each(sources.winds, VORTICITY_DIVERGENCE, sources.options) if sources.winds else iter(())
        return produce(tools, job, recipe, chain(parts, winds), fields)


def _choose_folder(settings: PostprocessSettings) -> Path:
    if settings.weights is not None:
        return settings.weights.expanduser().absolute()
    return data_folder.prepare(data_folder.default() / _FOLDER)
