"""What the frontend finds wrong with a request for a feature, without the FDB."""

from __future__ import annotations

from typing import Any

import pytest

from polytope_server.datasource import DataSourceError
from polytope_server.datasource.fdb import schema
from polytope_server.datasource.fdb.metkit import tables
from polytope_server.datasource.polytope import PolytopeDataSource
from polytope_server.datasource.polytope.check import FeatureCheck
from polytope_server.features import FeatureLimits
from polytope_server.language import Judgement, SourceRules, coerce

SCHEMA = "[ class, expver, stream, date, time [ type, levtype [ step, levelist?, param ]]]"
KEYS = {"class": "od", "expver": "0001", "stream": "oper", "date": "20260101", "time": "0000", "type": "fc"}
REQUEST: dict[str, Any] = {**KEYS, "levtype": "pl", "param": "t"}
SERIES = {"type": "timeseries", "points": [[38.9, -9.1]], "time_axis": "step"}
PROFILE = {"type": "verticalprofile", "points": [[38.9, -9.1]]}
PATH = {"type": "trajectory", "points": [[0, 0, 0], [1, 1, 24]], "axes": ["lat", "lon", "step"]}


def said(request: dict[str, Any], **limits: Any) -> str:
    """What a user reads of a request that has been matched, the empty text if it is good."""
    demands = schema.parse(SCHEMA, tables().canonical)
    try:
        FeatureCheck(demands, tables(), FeatureLimits.model_validate(limits))(request, "retrieve")
    except DataSourceError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    "request_",
    [
        {**REQUEST, "step": "0/to/24", "feature": SERIES},
        {**REQUEST, "step": "0/to/240/by/6", "levelist": "500/850", "feature": SERIES, "format": "covjson"},
        {**REQUEST, "step": "0", "levelist": "1000/to/1", "feature": PROFILE},
        {**REQUEST, "step": "0/to/25", "feature": PATH},
        {**REQUEST, "step": "0", "feature": {"type": "polygon", "shape": [[0, 0], [0, 1], [1, 1], [0, 0]]}},
        {**REQUEST, "step": "0", "feature": SERIES, "format": "application/json+covjson"},
    ],
)
def test_good_requests_are_taken(request_: dict[str, Any]) -> None:
    assert said(request_) == ""


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"feature": SERIES}, "feature: the timeseries needs values of 'step': give them in its range, or"),
        ({"feature": PROFILE, "step": "0"}, "feature: the verticalprofile needs values of 'levelist'"),
        (
            {"feature": PROFILE, "step": "0", "levelist": "1", "levtype": "SFC"},
            "key 'levtype': 'SFC' has no levels, which the verticalprofile needs",
        ),
        (
            {"feature": SERIES, "step": "0", "format": "netcdf"},
            "key 'format': 'netcdf' is not accepted; features are served as covjson",
        ),
        # A patch has put another step in its place.
        (
            {"feature": PATH, "step": "0"},
            "key 'step': '0' is set, and the trajectory asks for '0/to/25'",
        ),
        # The other keys are those of fields in the FDB.
        ({"feature": SERIES, "step": "0", "param": "tt"}, "key 'param': 'tt' is no parameter"),
        ({"feature": SERIES, "step": "0", "parm": "t"}, "key 'parm' is not one of the FDB's"),
        ({"feature": SERIES, "step": "0", "class": None}, "the request must also name: class"),
        ({"feature": {**SERIES, "points": [[91, 0]]}, "step": "0"}, "latitude 91 is not accepted"),
        ({"step": "0"}, "feature: None is not accepted"),
    ],
)
def test_what_could_only_fail_is_refused(change: dict[str, Any], sentence: str) -> None:
    request = {key: value for key, value in {**REQUEST, **change}.items() if value is not None}
    assert sentence in said(request)


def test_what_is_wrong_with_the_feature_and_with_the_fields_is_said_at_once() -> None:
    text = said({**REQUEST, "step": "0", "param": "tt", "feature": {**SERIES, "points": [[91, 0]]}})
    assert "latitude 91" in text
    assert "'tt' is no parameter" in text


def test_fields_and_values_are_limited_by_what_is_known() -> None:
    request = {**REQUEST, "step": "0/to/240/by/6", "levelist": "500/850", "feature": SERIES}
    assert said(request, max_fields=82, max_values=82) == ""
    assert "the request describes 82 fields; at most 81 are accepted" in said(request, max_fields=81)
    assert "the request describes 82 values; at most 81 are accepted" in said(request, max_values=81)
    assert "expected 1 to 1" not in said({**request, "feature": {**SERIES, "points": [[0, 0]] * 2}})
    two = {**request, "feature": {**SERIES, "points": [[0, 0]] * 2}}
    assert "the request describes 164 values; at most 163 are accepted" in said(two, max_values=163)
    assert "the number of points is 2; expected 1" in said(two, max_points=1)


def test_of_a_range_without_an_interval_only_the_archive_knows_how_much_it_is() -> None:
    # Given a thousand levels of which an archive has a dozen
    request = {**REQUEST, "step": "0/to/240", "levelist": "1/to/1000", "feature": SERIES}
    assert said(request, max_fields=4) == ""
    assert said({**request, "levelist": "1/to/1000/by/1"}, max_fields=4) != ""
    # Days are all there.
    assert said({**request, "date": "20260101/to/20260110"}, max_fields=4) != ""


@pytest.mark.parametrize(
    "spelled",
    [
        {"DATE": "2026-01-01", "Time": "00:00", "PARAM": 130, "step": [0, 6, 12]},
        {"date": 20260101, "time": 0, "param": "130.128", "step": "0/to/12/by/6"},
        {"date": "20260101", "parameters": "T", "step": "0h/6h/12h"},
        {
            "feature": {
                "TYPE": "TimeSeries",
                "Points": [["38.9", "-9.1"]],
                "Axis": "Step",
                "range": [0, "6", 12],
            }
        },
    ],
)
def test_spellings_do_not_matter(spelled: dict[str, Any]) -> None:
    # Given a request in the usual spelling, and the same in another
    request = {**REQUEST, "feature": SERIES}
    request = {key: value for key, value in request.items() if key not in map(str.lower, spelled)}
    if "parameters" in spelled:
        del request["param"]
    kind = PolytopeDataSource
    rules = SourceRules(
        match={"date": "20260101", "time": "00", "step": "0/to/24/by/6", "class": ["OD"]},
        accepts_feature=True,
        implied=kind.implied_keys,
        aliases=kind.aliases,
    )
    found = Judgement(coerce({**request, **spelled}), realm="", user_roles=()).match(rules)
    assert found.request is not None, found.reason
    assert said(found.request) == ""
    assert {found.request[key] for key in ("date", "time")} == {"20260101", "0000"}
    assert found.request.keys() == {*REQUEST, "step", "feature"}
