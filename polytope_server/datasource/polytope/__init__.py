"""The data source `polytope`: features of the hypercube, as CoverageJSON.

The values of some points are taken out of fields by GribJump, which does not decode them. Where the points of
a grid are arithmetic their indices are computed (:mod:`plan`, with :mod:`polytope_server.grids`). A bounded
number of values is extracted at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from polytope_server.datasource import (
    CONTENTS,
    COVERAGE_JSON,
    Answer,
    DataSource,
    DataSourceError,
    Job,
    Question,
    RequestCheck,
    Result,
)
from polytope_server.datasource.fdb import keys
from polytope_server.datasource.fdb.availability import CHECK
from polytope_server.datasource.fdb.check import find_spelling, read_known
from polytope_server.datasource.fdb.configuration import find_schema
from polytope_server.datasource.fdb.environment import prepare_eckit
from polytope_server.datasource.fdb.instructions import Instructions
from polytope_server.datasource.polytope import check
from polytope_server.datasource.polytope.settings import PolytopeSettings
from polytope_server.features import FEATURE_TYPES, Feature, read_feature
from polytope_server.language import RequestError, Spelling

if TYPE_CHECKING:
    from polytope_server.datasource.polytope.engine import Engine

ESTIMATE = "estimate"
"""The kind of question for how much a request asks for."""
#: Seconds for which an answer is kept. What makes a request fail is not: the fields may be archived now.
_KEPT = 60.0

__all__ = ["PolytopeDataSource", "PolytopeSettings"]


class PolytopeDataSource(DataSource):
    """Extracts features from the fields of one FDB."""

    Settings = PolytopeSettings
    accepts_feature = True
    requires = ("pyfdb", "eccodes", "pymetkit", "pygribjump", "gribjumplib", "numpy", "orjson")
    aliases = keys.ALIASES
    questions = frozenset({CHECK, ESTIMATE, CONTENTS})

    _engine: Engine

    @classmethod
    def implied_keys(cls, request: Mapping[str, Any]) -> Mapping[str, Any]:
        return check.implied_keys(request)

    @classmethod
    def spelling(cls, settings: Any) -> Spelling | None:
        return find_spelling(settings.metkit)

    @classmethod
    def request_check(cls, settings: Any) -> RequestCheck:
        known = read_known(settings.metkit)
        demands = find_schema(settings.fdb_config, known)
        return check.FeatureCheck(demands, known, settings.limits, _instructions(settings))

    @classmethod
    def door_question(cls, settings: Any) -> str | None:
        return CHECK if settings.check_available else None

    @classmethod
    def describe(cls, settings: Any) -> Mapping[str, Any]:
        return {"features": list(FEATURE_TYPES), "limits": settings.limits.model_dump()}

    def prepare(self) -> None:
        prepare_eckit()
        # Native libraries, and numpy.
        from polytope_server.datasource.polytope.engine import Engine

        self._engine = Engine(self.name, self.settings, self.judged)

    def retrieve(self, job: Job) -> Result:
        instructions = _instructions(self.settings)
        instructions.check(job.coerced_request, job.verb)
        found = self._engine.extract(*self._divide_request(job.coerced_request))
        instructions.remark(job)
        return Result(COVERAGE_JSON, found)

    def answer(self, question: Question) -> Answer:
        if question.kind == CONTENTS:
            return self._engine.contents(question.request)
        plan = self._engine.plan(*self._divide_request(question.request))
        return Answer([] if question.kind == CHECK else plan.estimate(), _KEPT)

    def _divide_request(self, request: Mapping[str, Any]) -> tuple[dict[str, Any], Feature]:
        """The keys of a request, and its feature."""
        rest = {key: value for key, value in request.items() if key != "feature"}
        try:
            return rest, read_feature(request.get("feature"), self.settings.limits)
        except RequestError as error:
            raise DataSourceError(str(error)) from None


def _instructions(settings: PolytopeSettings) -> Instructions:
    """What becomes of the keys of requests that choose no field, with these settings."""
    return Instructions(served=frozenset({"format"}), ignored=frozenset(settings.ignore) - {"format"})
