"""The engine of one data source: plans requests, extracts their values, and writes them as they come."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import chain
from typing import Any

from polytope_server.datasource import Answer
from polytope_server.datasource.fdb.choosing import choose
from polytope_server.datasource.fdb.configuration import load_config, load_fdb_config
from polytope_server.datasource.polytope import jump
from polytope_server.datasource.polytope.archive import Archive
from polytope_server.datasource.polytope.coverage.layout import Part, coverages, domain_of
from polytope_server.datasource.polytope.coverage.pieces import chunks, collection
from polytope_server.datasource.polytope.coverage.style import STYLES
from polytope_server.datasource.polytope.kinds import Kinds, Parameter
from polytope_server.datasource.polytope.plan import Plan, make_plan
from polytope_server.datasource.polytope.reading import Reader
from polytope_server.datasource.polytope.settings import PolytopeSettings
from polytope_server.features import Feature


class Engine:
    """Serves features from one FDB, one request at a time."""

    def __init__(self, name: str, settings: PolytopeSettings, judged: Collection[str] = ()) -> None:
        """Import what it needs. Raises ImportError, and OSError and ValueError for files of the settings."""
        jump.import_library()
        self._name, self._judged = name, judged
        self._limits = settings.limits
        self._fdb_config = None if settings.fdb_config is None else load_fdb_config(settings.fdb_config)
        self._kinds = Kinds(name, settings.options.mappers)
        self._jump = jump.Jump(name, load_config(settings.gribjump_config))
        self._style = STYLES[settings.coverage]

    def plan(self, request: Mapping[str, Any], feature: Feature) -> Plan:
        """What a request takes, found without extracting anything. DataSourceError if it cannot be served."""
        archive = Archive(self._name, self._fdb_config)
        return make_plan(archive, request, feature, self._kinds, self._limits, self._judged)

    def contents(self, request: Mapping[str, Any]) -> Answer:
        """What the archive has of a request without a feature, key by key. DataSourceError."""
        return Archive(self._name, self._fdb_config).contents(choose(request))

    def extract(self, request: Mapping[str, Any], feature: Feature) -> Iterator[bytes]:
        """The result of a request as CoverageJSON, in chunks. DataSourceError, TemporaryError.

        The first values are extracted before it returns.
        """
        try:
            return self._begin(request, feature)
        except jump.OtherGridError:
            # What is remembered may be the grid that the fields had before a change of their model.
            self._kinds.forget()
            return self._begin(request, feature)

    def _begin(self, request: Mapping[str, Any], feature: Feature) -> Iterator[bytes]:
        self._jump.open()
        plan = self.plan(request, feature)
        # Each part knows all fields of the request.
        self._jump.reserve_files(plan.parts[0].cube.locations)
        return _begun(self._write(plan))

    def _write(self, plan: Plan) -> Iterator[bytes]:
        names = _name_parameters(plan)
        domain = domain_of(plan.feature)
        described = {
            names[param]: _describe(names[param], kind.parameter)
            for part in plan.parts
            for param, kind in part.kinds.items()
        }
        head = {
            "domainType": domain,
            "parameters": described,
            "referencing": self._style.referencing(domain, plan.feature.type),
        }
        parts = (
            Part(part.cube, part.stretches, Reader(self._jump, part.md5), names, self._style, plan.feature)
            for part in plan.parts
        )
        found = chain.from_iterable(map(coverages, parts))
        return chunks(collection(head, found))


def _begun(found: Iterator[bytes]) -> Iterator[bytes]:
    return chain([next(found)], found)


def _name_parameters(plan: Plan) -> dict[str, str]:
    """The name of each parameter in the result: its short name, or its number where ecCodes knows none."""
    known = {param: kind.parameter for part in plan.parts for param, kind in part.kinds.items()}
    names: dict[str, str] = {}
    for param, one in known.items():
        unusable = one.short_name in ("unknown", "~", "") or one.short_name in names.values()
        names[param] = param if unusable else one.short_name
    return names


def _describe(name: str, parameter: Parameter) -> dict[str, Any]:
    return {
        "type": "Parameter",
        "description": {"en": parameter.name},
        "unit": {"symbol": parameter.units},
        "observedProperty": {"id": name, "label": {"en": parameter.name}},
    }
