"""The data source `fdb`: fields in ECMWF's Fields Database, through pyfdb.

What the FDB does not do by itself, and this module therefore does (each has a test in
tests/integration/test_fdb.py): it is silent about missing fields; a handle does not see what is archived
later; `read(n)` pads with zeros; a request can name more fields than there is time to expand; keys have
aliases; destroying an FDB object flushes it; and a failed handle that is still referenced crashes the
process at the next read.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator

from polytope_server.datasource import (
    CONTENTS,
    GRIB,
    Answer,
    DataSource,
    DataSourceError,
    Job,
    Question,
    Result,
)
from polytope_server.datasource.fdb import (
    availability,
    contents,
    dry_run,
    expansion,
    grib,
    index,
    keys,
)
from polytope_server.datasource.fdb.archiving import Archiver
from polytope_server.datasource.fdb.check import RequestCheck, find_spelling, read_known
from polytope_server.datasource.fdb.choosing import choose, choose_some
from polytope_server.datasource.fdb.configuration import (
    FDBConfigKey,
    LibraryConfig,
    describe_oddities,
    describe_unwritable,
    find_schema,
    has_read_only_root,
    lacks_permission,
    load_fdb_config,
    make_roots,
)
from polytope_server.datasource.fdb.environment import prepare_eckit
from polytope_server.datasource.fdb.errors import Errors
from polytope_server.datasource.fdb.faults import NO_PERMISSION
from polytope_server.datasource.fdb.files import path_of
from polytope_server.datasource.fdb.instructions import IgnoredKeys, Instructions
from polytope_server.datasource.fdb.metkit import Tables
from polytope_server.datasource.fdb.postprocess.door import Door
from polytope_server.datasource.fdb.postprocess.recipe import SERVED, Recipe
from polytope_server.datasource.fdb.postprocess.service import PostprocessSettings, Service
from polytope_server.datasource.fdb.postprocess.winds import Sources, find_sources
from polytope_server.datasource.fdb.reading import Reader
from polytope_server.datasource.fdb.selection import Selection
from polytope_server.datasource.working_folder import remove_left_behind
from polytope_server.language import Spelling
from polytope_server.settings.values import Size

logger = logging.getLogger(__name__)


class FDBSettings(PostprocessSettings):
    """Keys of the data source `fdb`."""

    fdb_config: FDBConfigKey = Field(
        description="The FDB's configuration, or the path to a YAML file that holds it. Its `schema` is a "
        "path, or `{git: {remote, branch, path}}`, with `revision` (a commit) beside `branch` or instead."
    )
    fdb_home: Path | None = Field(None, description="Key of the earlier server; no effect.")
    metkit: Path | None = Field(
        None,
        description="Folder with the tables of a metkit of your own (`share/metkit`: `language.yaml`, "
        "`paramids.yaml`). By them requests are checked when they are submitted; by default by those of the "
        "metkit of this package. Where it cannot be read, values are not checked before the FDB reads them.",
    )
    expand: bool = Field(
        False,
        description="Whether a worker brings requests into the FDB's own spelling by metkit, before it looks "
        "for fields: `2t` is 167, and `2t/167` one parameter. Needs the extra `metkit`.",
    )
    archive: bool = Field(True, description="Whether fields may be archived.")
    check_available: bool = Field(
        False,
        description="Whether a request for fields that the FDB does not have is refused when it is "
        "submitted: the frontend asks a worker, see `frontend.question_wait`.",
    )
    ignore: IgnoredKeys = Field(
        (),
        description="Keys of requests, such as `grid` and `area`, that are ignored though they would change "
        "the data: the user reads so with each result. Requests with others are refused.",
    )
    gribjump_index: bool = Field(
        False,
        description="Whether GribJump's index is written for what is archived, so that the first extraction "
        "of a feature is as quick as later ones. Needs the extra `polytope`.",
    )
    max_fields: int = Field(200_000, ge=1, description="The most fields that one request may describe.")
    max_message: Size = Field(
        256 << 20,
        gt=0,
        description="Largest GRIB message that may be archived. It is held in memory, and the FDB copies it "
        "twice: `max_memory` must be more than three times as much.",
    )

    @model_validator(mode="after")
    def _check_ignored(self) -> Self:
        if self.postprocess and (both := sorted(SERVED.intersection(self.ignore))):
            raise ValueError(f"ignore: '{both[0]}' is served, as postprocess is true; take one of them out")
        return self

    def warnings(self) -> Iterator[str]:
        yield from super().warnings()
        yield from describe_oddities(self.fdb_config)
        if self.expand and not expansion.is_installed():
            yield "expand needs the package pymetkit, of the extra metkit, where a worker runs"
        if self.archive and (reason := describe_unwritable(self.fdb_config)):
            yield f"uploads are refused: {reason}; `archive: false` says the same"
        if self.gribjump_index and index.find_program() is None:
            yield "gribjump_index needs the package gribjumplib, of the extra polytope, where a worker runs"


class FDBDataSource(DataSource):
    """Retrieves fields from one FDB and archives into it."""

    Settings = FDBSettings
    requires = ("pyfdb", "eccodes")
    aliases = keys.ALIASES
    questions = frozenset({*availability.KINDS, CONTENTS})

    _archiver: Archiver

    def __init__(self, name: str, settings: FDBSettings) -> None:
        super().__init__(name, settings)
        self._config: Mapping[str, Any] = {}
        self._instructions = _instructions(settings)
        self._service: Service | None = None
        self._reader = Reader(name, settings.max_message)

    @classmethod
    def archives(cls, settings: Any) -> bool:
        return bool(settings.archive) and not describe_unwritable(settings.fdb_config)

    @classmethod
    def spelling(cls, settings: Any) -> Spelling | None:
        return find_spelling(settings.metkit)

    @classmethod
    def request_check(cls, settings: Any) -> RequestCheck:
        return _make_check(settings, settings.fdb_config, read_known(settings.metkit))

    @classmethod
    def door_question(cls, settings: Any) -> str | None:
        return availability.CHECK if settings.check_available else None

    @classmethod
    def describe(cls, settings: Any) -> Mapping[str, Any]:
        made = {"postprocess": sorted(SERVED), "max_points": settings.max_points}
        return {"max_fields": settings.max_fields, **(made if settings.postprocess else {})}

    def prepare(self) -> None:
        prepare_eckit()
        import eccodes  # noqa: F401
        import pyfdb  # noqa: F401

        self._config = load_fdb_config(self.settings.fdb_config)
        make_roots(self._config)
        self._archiver = Archiver(
            self.name, self.open, self._dry_run, self.settings.max_message, has_read_only_root(self._config)
        )
        remove_left_behind(dry_run.PREFIX)
        self._known = read_known(self.settings.metkit)
        self._check = _make_check(self.settings, dict(self._config), self._known)
        if self.settings.postprocess:
            self._service = Service(self.name, self.settings, self._known)

    def _select(self, request: Mapping[str, Any]) -> Selection:
        wanted = choose_some(request, self.settings.max_fields)
        return expansion.expand(wanted) if self.settings.expand else wanted

    def open(self) -> Any:
        """An FDB object for one request: an older one would not see what was archived since."""
        import pyfdb

        return pyfdb.FDB(self._config)

    def retrieve(self, job: Job) -> Result:
        request = job.coerced_request
        self._instructions.check(request, job.verb)
        expected = self._instructions.expectation(request)
        recipe = self._service.read(request) if self._service else Recipe()
        with Errors(self.name):
            fdb = self.open()
            sources = self._find_sources(fdb, request)
            there = availability.look(fdb, sources.wanted, expected, self._known, sources.look)
            if there.problem:
                raise DataSourceError(there.problem)
        self._instructions.remark(job, recipe.idle)
        availability.remark(job, there, expected, self.judged)
        edition = self._instructions.edition_of(request)
        if self._service and (recipe or sources.winds):
            open_ = partial(self._reader.messages, fdb)
            made = self._service.produce(job, recipe, sources, open_, there.found)
            return Result(GRIB, self._reader.in_edition(made, edition))
        stored = self._reader.read(fdb, sources.named, there)
        return Result(GRIB, self._reader.in_edition(stored, edition), there.size)

    def _find_sources(self, fdb: Any, request: Mapping[str, Any]) -> Sources:
        """The fields that a request needs."""
        found = find_sources(self._select(request), self._known, partial(availability.filed_params, fdb))
        if found.winds and self._service is None:
            raise DataSourceError(
                "key 'param': these winds are stored as vorticity and divergence, from which this data "
                "source does not make them; ask for 138 and 155"
            )
        return found

    def answer(self, question: Question) -> Answer:
        if question.kind == CONTENTS:
            with Errors(self.name):
                return contents.answer(self.open(), choose(question.request))
        request = question.request
        self._instructions.check(request, "retrieve")
        expected = self._instructions.expectation(request)
        with Errors(self.name):
            fdb = self.open()
            sources = self._find_sources(fdb, request)
            there = availability.look(fdb, sources.wanted, expected, self._known, sources.look)
            return availability.answer(question.kind, there)

    def archive(self, job: Job, data: Iterable[bytes]) -> None:
        if not self.archives(self.settings):
            raise DataSourceError(f"data source {self.name} does not archive")
        if lacks_permission(self._config):
            logger.error("data source %s: there is no permission to write to the roots of its FDB", self.name)
            raise DataSourceError(f"nothing can be archived into {self.name}: {NO_PERMISSION}")
        request = job.coerced_request
        self._instructions.check(request, job.verb)
        allowed = {
            key: {grib.canonical(key, value) for value in values} for key, values in choose(request).items()
        }
        filed = self._archiver.archive(data, allowed, self._instructions.expectation(request))
        self._instructions.remark(job)
        if self.settings.gribjump_index:
            index.write(self._find_files(filed))

    def _find_files(self, filed: Selection) -> list[Path]:
        """The files that have the fields with these keys."""
        try:
            found = {path_of(element.uri) for element in self.open().list(filed)}
        except RuntimeError as error:
            logger.error("data source %s: no index is written: %s", self.name, error)
            found = set()
        return [Path(path) for path in sorted(found)]

    def _dry_run(self, abandon: Callable[[Any], None]) -> dry_run.DryRun:
        def select(request: Mapping[str, Any]) -> Selection:
            self._check(request, "retrieve")
            return self._select(request)

        return dry_run.DryRun(self._config, self.coercion, select, abandon)


def _make_check(settings: FDBSettings, config: LibraryConfig, known: Tables | None) -> RequestCheck:
    """The check of requests for the FDB of a configuration, with the tables that are known."""
    demands = find_schema(config, known)
    door = Door(settings.max_points, known) if settings.postprocess else None
    return RequestCheck(demands, known, settings.max_fields, _instructions(settings), door)


def _instructions(settings: FDBSettings) -> Instructions:
    """What becomes of the keys of requests that choose no field, with these settings."""
    made = SERVED if settings.postprocess else frozenset()
    return Instructions(served=made | {keys.EXPECT}, ignored=frozenset(settings.ignore))
