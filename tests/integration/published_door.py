"""What the FDBs of published data demand, and what a user of them reads when a request is submitted."""

from __future__ import annotations

import json
from typing import Any

from published_features import Published

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
FORECAST = "class, expver, stream, date, time, %s [ type, levtype [ step, number?, levelist?, param%s ]]"
#: By the kind of data.
SCHEMAS = {
    "climate-dt": f"[ {MODEL}, stream=clte, date [ resolution, type, levtype [ time, levelist?, param ]]]",
    "climate-dt-monthly": f"[ {MODEL}, stream=clmn, year [ month, resolution, type, levtype "
    "[ levelist?, param ]]]",
    "extremes-dt": f"[ {EXTREMES} ]",
    "on-demand-extremes-dt": f"[ {EXTREMES} ]",
    "nextgems": f"[ {MODEL}, stream=clte, date [ resolution, type, levtype [ time, levelist?, param ]]]",
    "ifs": f"[ {FORECAST % ('domain', '')} ]",
    "efas": "[ class, expver, stream, date, model [ type, levtype, origin, hdate? "
    "[ time, step, number?, levelist?, param ]]]",
    "icon": f"[ {FORECAST % ('model', ', timespan?')} ]",
}
#: Of the requests that polytope-mars takes, and has taken, those that are refused, and why.
REFUSED = {
    "box without a step": "the request must also name: step",
    "shape file": "'shapefile' is not served: it would be read from the disk of this server; give its rings",
    "path by its earlier name": "'path' is not served: it is called trajectory",
    "well-known text": "'wkt' is not served: it is a text of another language; give its rings as a polygon",
}


def submit(asked: Published) -> tuple[dict[str, Any], str]:
    """The request as it goes to the data source, and the empty text; or what its user reads of it."""
    # A centre's own parameters are in no table of this package.
    known = None if asked.kind == "icon" else tables()
    canonical = tables().canonical
    check = FeatureCheck(schema.parse(SCHEMAS[asked.kind], canonical), known, DEFAULT_LIMITS)
    rules = SourceRules(accepts_feature=True, aliases=keys.ALIASES, implied=implied_keys)
    try:
        found = Judgement(coerce(parse(json.dumps(asked.request))), realm="", user_roles=()).match(rules)
        if found.request is None:
            return {}, found.reason
        check(found.request, "retrieve")
    except (DataSourceError, RequestError) as error:
        return {}, str(error)
    return found.request, ""
