"""Published requests for features: each is answered from an FDB, and its result opened by today's clients.

The FDB has the fields that the request names, as many as a range of it may mean; see
:mod:`published_archives`. Those that are refused are in `published_door.REFUSED`, with the reason.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opened_coverages import Labelled, decode, open_file, values_of
from published_archives import PublishedArchive, start_of, step_of
from published_door import REFUSED, submit
from published_features import FEATURES, FEATURES_NOT_TAKEN, Published

from polytope_server.datasource.polytope import PolytopeDataSource, PolytopeSettings
from polytope_server.testing.datasource import job

#: Another centre's models and parameters, which only its own metkit knows, and others instead.
ELSEWHERE = {"icon-ch1-eps": "icon", "icon-ch2-eps": "icon", 500011: 167, "500011": 167, "TOT_PREC": 228}
#: Each of these levels must be there.
MANY_LEVELS = {"start": 0, "end": 1000, "interval": 2}
SERVED = [asked for asked in (*FEATURES, *FEATURES_NOT_TAKEN) if asked.name not in REFUSED]


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A folder that is not kept: the FDBs of all forms take hundreds of megabytes."""
    yield tmp_path
    shutil.rmtree(tmp_path)


@pytest.mark.parametrize("asked", SERVED, ids=lambda one: f"{one.kind}: {one.name}")
def test_a_published_request_is_answered_and_its_result_opened(asked: Published, root: Path) -> None:
    # Given an FDB with the fields that a published request names
    request, said = submit(asked._replace(request=change(asked.request)))
    assert said == ""
    archive = PublishedArchive(root, asked.kind, request)
    # When it is asked
    found = retrieve(archive, request)
    # Then each client opens the result, and its labels are those of the fields that the values are of
    (root / "result.covjson").write_bytes(found)
    for datasets in (decode(found), open_file(root / "result.covjson")):
        values = [value for dataset in datasets for value in values_of(dataset) if archive.has_time(value)]
        # One value of each field, and the first and the last one of all.
        of_fields = {archive.read(value.value)[0]: value for value in values}
        assert len(of_fields) == len(archive.fields) or request["feature"]["type"] == "trajectory"
        for value in of_fields.values():
            check_labels(archive, value)
        for value in (values[0], values[-1]):
            assert archive.grid.pattern_at(value.latitude, value.longitude) == archive.read(value.value)[1]


def change(request: dict[str, Any]) -> dict[str, Any]:
    """The request with parameters and models that this metkit knows, and fewer levels."""
    known = {
        key: ELSEWHERE.get(value, value) for key, value in request.items() if isinstance(value, str | int)
    }
    feature = request["feature"]
    if feature.get("range", {}) == MANY_LEVELS:
        known["feature"] = {**feature, "range": {**MANY_LEVELS, "end": 20}}
    return {**request, **known}


def retrieve(archive: PublishedArchive, request: dict[str, Any]) -> bytes:
    options = {"axis_config": [{"axis_name": "values", "transformations": archive.grid.mappers}]}
    settings = {"gribjump_config": {}, "fdb_config": archive.config, "options": options}
    source = PolytopeDataSource("published", PolytopeSettings.model_validate(settings))
    source.prepare()
    return b"".join(source.retrieve(job(request)).chunks)


def check_labels(archive: PublishedArchive, value: Labelled) -> None:
    """Compare what a value says of itself with the field that it is of."""
    field = archive.fields[archive.read(value.value)[0]]
    name = archive.grid.name_of(field["param"])
    # In a series the temperature must not have the name of the time.
    assert {"T": "t"}.get(value.name, value.name) == (field["param"] if name == "unknown" else name)
    assert value.level == float(field.get("levelist", 0))
    assert value.number == int(field.get("number", 0))
    begun, step = start_of(field), step_of(field.get("step", "0"))
    if value.time is None:
        assert (value.start, step_of(value.step or "")) == (begun, step)
    else:
        assert value.time == begun + step
