"""Published requests for features, at the door: taken, or refused with a sentence."""

from __future__ import annotations

import json

import pytest
from published_features import FEATURE_MISTAKES, FEATURES, FEATURES_NOT_TAKEN, Published

from polytope_server.datasource import DataSourceError
from polytope_server.datasource.fdb import keys, schema
from polytope_server.datasource.fdb.metkit import tables
from polytope_server.datasource.polytope.check import FeatureCheck, implied_keys
from polytope_server.features import DEFAULT_LIMITS
from polytope_server.language import Judgement, RequestError, SourceRules, coerce, parse

MODEL = "class, activity, experiment, generation, model, realization, expver"
EXTREMES = (
    "class=d1, dataset, expver, stream, date, time [ type, levtype, georef? [ step, levelist?, param ]]"
)
FORECAST = (
    "class, expver, stream, date, time, model?, domain? [ type, levtype [ step, number?, levelist?, param"
)
FORECAST += ", timespan? ]]"
#: What the FDB of each kind of data demands.
SCHEMAS = {
    "climate-dt": f"[ {MODEL}, stream=clte, date [ resolution, type, levtype [ time, levelist?, param ]]]",
    "climate-dt-monthly": f"[ {MODEL}, stream=clmn, year [ month, resolution, type, levtype [ param ]]]",
    "extremes-dt": f"[ {EXTREMES} ]",
    "on-demand-extremes-dt": f"[ {EXTREMES} ]",
    "nextgems": f"[ {MODEL}, stream=clte, date [ resolution, type, levtype [ time, levelist?, param ]]]",
    "ifs": f"[ {FORECAST} ]",
    "efas": "[ class, expver, stream, date, model [ type, levtype, origin, hdate? [ time, step, param ]]]",
    "icon": f"[ {FORECAST} ]",
}
#: Of those that polytope-mars takes, and has taken.
REFUSED = {
    "box without a step": "the request must also name: step",
    "shape file": "'shapefile' is not served: it would be read from the disk of this server; give its rings",
    "path by its earlier name": "'path' is not served: it is called trajectory",
    "well-known text": "'wkt' is not served: it is a text of another language; give its rings as a polygon",
}
#: Of those that their publishers show as mistakes. Defaults stand in pages of the publishers.
ACCEPTED = {
    "series without a time axis": "a series runs along steps unless it says otherwise",
    "path without an inflation": "it has a default",
    "series with steps twice": "both say the same",
    # The FDB takes keys that it does not file fields by.
    "series with a step where there is none": "it is a key of requests",
    "polygon with a step where there is none": "it is a key of requests",
    "polygon with a member where there is none": "it is a key of requests",
}


def submit(asked: Published) -> str:
    """What the user reads of a request, the empty text if it is taken."""
    # A centre's own parameters are in no table of this package.
    known = None if asked.kind == "icon" else tables()
    canonical = tables().canonical
    check = FeatureCheck(schema.parse(SCHEMAS[asked.kind], canonical), known, DEFAULT_LIMITS)
    rules = SourceRules(accepts_feature=True, aliases=keys.ALIASES, implied=implied_keys)
    try:
        found = Judgement(coerce(parse(json.dumps(asked.request))), realm="", user_roles=()).match(rules)
        if found.request is None:
            return found.reason
        check(found.request, "retrieve")
    except (DataSourceError, RequestError) as error:
        return str(error)
    return ""


@pytest.mark.parametrize("asked", [*FEATURES, *FEATURES_NOT_TAKEN], ids=lambda one: f"{one.kind}: {one.name}")
def test_every_published_form_is_taken_or_refused_with_a_sentence(asked: Published) -> None:
    said = submit(asked)
    if asked.name in REFUSED:
        assert REFUSED[asked.name] in said
    else:
        assert said == ""


@pytest.mark.parametrize("asked", FEATURE_MISTAKES, ids=lambda one: f"{one.kind}: {one.name}")
def test_every_published_mistake_is_named(asked: Published) -> None:
    said = submit(asked)
    assert bool(said) is (asked.name not in ACCEPTED)
    # In words: no piece of Python, and not one sentence for each of many values.
    assert len(said) < 400
    assert "Error" not in said
