"""What users write of a feature: what is taken, in which spellings, and what they read of the rest."""

from __future__ import annotations

import math
from typing import Any

import pytest

from polytope_server.features import (
    BoundingBox,
    Circle,
    FeatureLimits,
    Frame,
    Polygon,
    Position,
    TimeSeries,
    Trajectory,
    VerticalProfile,
    read_feature,
)
from polytope_server.language import RequestError

SQUARE = [[0, 0], [0, 4], [4, 4], [4, 0], [0, 0]]
HOLE = [[1, 1], [1, 2], [2, 2], [2, 1], [1, 1]]
POINTS = [[38.9, -9.1]]
SERIES: dict[str, Any] = {"type": "timeseries", "points": POINTS, "time_axis": "step"}
PATH: dict[str, Any] = {"type": "trajectory", "points": [[0, 0], [1, 1]], "axes": ["latitude", "longitude"]}
PATH_4D = {"type": "trajectory", "points": [[-1, -1, 1000, 0], [1, 1, 250, 24]]}


def ring(points: list[list[float]]) -> tuple[tuple[float, float], ...]:
    return tuple((latitude, longitude) for latitude, longitude in points)


@pytest.mark.parametrize(
    ("value", "feature"),
    [
        (SERIES, TimeSeries(((38.9, -9.1),), "step")),
        ({"TYPE": "TimeSeries", "Points": [["38.9", "-9.1"]], "Axis": "STEP"}, TimeSeries(((38.9, -9.1),))),
        ({"type": "timeseries", "points": POINTS, "axes": "step"}, TimeSeries(((38.9, -9.1),))),
        ({"type": "timeseries", "points": POINTS}, TimeSeries(((38.9, -9.1),))),
        (
            {**SERIES, "time_axis": "date", "axes": ["lon", "lat"], "points": [[-9.1, 38.9], [1, 2]]},
            TimeSeries(((38.9, -9.1), (2, 1)), "date"),
        ),
        ({"type": "verticalprofile", "points": POINTS}, VerticalProfile(((38.9, -9.1),))),
        ({"type": "verticalprofile", "points": POINTS, "axes": "levelist"}, VerticalProfile(((38.9, -9.1),))),
        (
            {"type": "verticalprofile", "points": POINTS, "axes": ["long", "lat", "level"]},
            VerticalProfile(((-9.1, 38.9),)),
        ),
        ({"type": "position", "points": [[90, 719.97]]}, Position(((90, 719.97),))),
        ({"type": "boundingbox", "points": [[10, 20], [-5, 30]]}, BoundingBox(-5, 20, 10, 30)),
        (
            {"type": "boundingbox", "points": [[20, 10], [30, -5]], "axes": ["longitude", "latitude"]},
            BoundingBox(-5, 20, 10, 30),
        ),
        (
            {"type": "boundingbox", "points": [[0, 0, 1000], [1, 1, 500]], "axes": ["lat", "long", "level"]},
            BoundingBox(0, 0, 1, 1, "500/to/1000"),
        ),
        ({"type": "polygon", "shape": SQUARE}, Polygon(((ring(SQUARE),),))),
        ({"type": "polygon", "shape": [SQUARE, HOLE]}, Polygon(((ring(SQUARE),), (ring(HOLE),)))),
        ({"type": "polygon", "shape": [[SQUARE, HOLE]]}, Polygon(((ring(SQUARE), ring(HOLE)),))),
        ({"type": "circle", "center": [[50, 8]], "radius": "1.5"}, Circle((50, 8), 1.5)),
        ({"type": "circle", "center": [50, 8], "radius": 1}, Circle((50, 8), 1)),
        (
            {"type": "circle", "center": [[0, 0, 500]], "radius": 1, "axes": ["lat", "lon", "levelist"]},
            Circle((0, 0), 1, "500"),
        ),
        (
            {"type": "frame", "outer_box": [[0, 0], [9, 9]], "inner_box": [[2, 2], [3, 3]]},
            Frame(BoundingBox(0, 0, 9, 9), BoundingBox(2, 2, 3, 3)),
        ),
        (PATH, Trajectory(((0, 0), (1, 1)), ("latitude", "longitude"), (1, 1))),
        (
            {**PATH, "points": [[5, 0], [6, 1]], "axes": ["long", "lat"], "inflation": [0.1, 0.2]}
            | {"inflate": "BOX"},
            Trajectory(((0, 5), (1, 6)), ("latitude", "longitude"), (0.2, 0.1), "box"),
        ),
        (
            {**PATH_4D, "padding": 0},
            Trajectory(
                ((-1, -1, 1000, 0), (1, 1, 250, 24)),
                ("latitude", "longitude", "levelist", "step"),
                (0, 0, 0, 0),
            ),
        ),
        (
            {**PATH, "points": [[0, 0, "0h30m"], [1, 1, "1h"]], "axes": ["lat", "lon", "step"]},
            Trajectory(((0, 0, 0.5), (1, 1, 1)), ("latitude", "longitude", "step"), (1, 1, 1)),
        ),
    ],
)
def test_a_feature_is_read_in_every_spelling(value: Any, feature: Any) -> None:
    assert read_feature(value) == feature


@pytest.mark.parametrize(
    ("axis", "value", "text"),
    [
        ("step", {"start": 0, "end": 240, "interval": 6}, "0/to/240/by/6"),
        ("step", {"Start": "0", "END": "3d"}, "0/to/72"),
        ("step", {"start": "0h10m", "end": "1h30m", "interval": "0h10m"}, "10m/to/1h30m/by/10m"),
        ("step", [0, 1, "6h"], "0/1/6"),
        ("step", "0/to/24/by/6", "0/to/24/by/6"),
        ("step", 24, "24"),
        ("date", {"start": "2024-01-01", "end": 20240110}, "2024-01-01/to/20240110"),
        ("date", [0, -1], "0/-1"),
        ("hdate", ["2024-01-01", 20230101], "2024-01-01/20230101"),
        ("month", {"start": 1, "end": 12, "interval": 3}, "1/to/12/by/3"),
        ("year", [2020, 2021], "2020/2021"),
    ],
)
def test_a_range_becomes_the_text_of_a_key(axis: str, value: Any, text: str) -> None:
    feature = read_feature({**SERIES, "time_axis": axis, "range": value})
    assert feature.implied() == {axis: text}
    assert feature.keys == (axis,)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"start": 0, "end": 1000}, "0/to/1000"),
        ({"start": 1000, "end": 100, "interval": 50}, "1000/to/100/by/-50"),
        ([1000, "850", 0.5], "1000/850/0.5"),
    ],
)
def test_levels_may_run_downwards(value: Any, text: str) -> None:
    feature = read_feature({"type": "verticalprofile", "points": POINTS, "range": value})
    assert feature.implied() == {"levelist": text}


@pytest.mark.parametrize(
    ("change", "implied"),
    [
        ({"inflation": 0}, {"levelist": "250/to/1000", "step": "0/to/24"}),
        ({}, {"levelist": "249/to/1001", "step": "0/to/25"}),
        ({"inflate": "box"}, {"levelist": "250/to/1001", "step": "0/to/25"}),
        ({"inflation": [1, 1, 0.1, 0.5]}, {"levelist": "250/to/1000", "step": "0/to/24"}),
        ({"points": [[0, 0, 500, 6], [1, 1, 500, 6]], "inflation": 0}, {"levelist": "500", "step": "6"}),
        (
            {"points": [[0, 0, 0.5, "30m"], [1, 1, 0.7, "50m"]], "inflation": 0},
            {"levelist": "0.5/to/0.7", "step": "30m/to/50m"},
        ),
        (
            {"points": [[0, 0, 0.5, 12], [1, 1, 10, 12]], "inflation": [1, 1, 1, 0]},
            {"levelist": "0/to/11", "step": "12"},
        ),
    ],
)
def test_a_trajectory_asks_for_all_that_its_shape_passes(change: Any, implied: Any) -> None:
    assert read_feature({**PATH_4D, **change}).implied() == implied


def said(value: Any, **limits: Any) -> str:
    with pytest.raises(RequestError) as refused:
        read_feature(value, FeatureLimits(**{**FeatureLimits.model_validate({}).model_dump(), **limits}))
    return str(refused.value)


BOX = {"type": "boundingbox", "points": [[0, 0], [1, 1]]}
POLYGON = {"type": "polygon", "shape": SQUARE}


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (None, "feature: None is not accepted; expected keys, such as"),
        ([SERIES], "is not accepted; expected keys"),
        ({}, "feature: key 'type' is missing"),
        ({"type": 3}, "3 is no feature; expected timeseries or verticalprofile"),
        ({"type": "timeserie"}, "'timeserie' is no feature; did you mean 'timeseries'?"),
        ({"type": "shapefile", "file": "x"}, "'shapefile' is not served: it would be read from the disk"),
        ({"type": "wkt", "shape": "POLYGON"}, "'wkt' is not served"),
        ({"type": "path"}, "'path' is not served: it is called trajectory"),
        ({"type": "timeseries"}, "feature: key 'points' is missing"),
        ({**SERIES, "pionts": 1}, "key 'pionts' is not known; did you mean 'points'?"),
        ({**SERIES, "Points": POINTS}, "key 'points' is given twice"),
        ({**SERIES, "axis": "step"}, "keys time_axis and axis mean the same"),
        ({**SERIES, "time_axis": "datetime"}, "key 'time_axis': 'datetime' is not accepted; "),
        ({**SERIES, "axes": "date"}, "name two axes of time, step and date"),
        ({**SERIES, "axes": ["latitude", "longitude", "step"]}, "key 'axes': 'step' is not accepted"),
        ({**SERIES, "axes": ["lat", "lat"]}, "names an axis twice"),
        ({**SERIES, "axes": ["lat"]}, "key 'axes': 'lat' is not accepted"),
        (
            {**SERIES, "points": [38, -9]},
            "key 'points': point 1: 38 is not accepted; expected [latitude, lon",
        ),
        ({**SERIES, "points": []}, "key 'points': [] is not accepted; expected a list of points"),
        ({**SERIES, "points": [[38.9]]}, "point 1: [38.9] is not accepted; expected [latitude, longitude]"),
        ({**SERIES, "points": [[0, 0], [91, 0]]}, "point 2: latitude 91 is not accepted; expected -90 to 90"),
        ({**SERIES, "points": [[math.nan, 0]]}, "point 1: nan is not accepted; expected a number"),
        ({**SERIES, "points": [["NaN", 0]]}, "point 1: 'NaN' is not accepted; expected a number"),
        ({**SERIES, "points": [[0, math.inf]]}, "point 1: inf is not accepted; expected a number"),
        ({**SERIES, "points": [[0, 1e9]]}, "longitude 1000000000.0 is not accepted"),
        ({**SERIES, "points": [[True, 0]]}, "point 1: True is not accepted; expected a number"),
        ({**SERIES, "points": [[10**400, 0]]}, "is not accepted; expected a number"),
        ({**SERIES, "range": {"start": 24, "end": 0}}, "ends before it starts"),
        ({**SERIES, "range": {"start": 0, "end": 24, "interval": 0}}, "must be greater than 0"),
        ({**SERIES, "range": {"start": 0}}, "key 'range': end is missing; expected"),
        ({**SERIES, "range": {"start": 0, "end": 9, "step": 3}}, "key 'step' is not known"),
        ({**SERIES, "range": {"start": 0, "end": 10_000_000}}, "describes 10000001 values; at most 100000"),
        ({**SERIES, "range": {"start": -1, "end": 3}}, "'-1/to/3' is not a range"),
        ({**SERIES, "range": {"start": None, "end": 3}}, "key 'start': None is not accepted"),
        ({**SERIES, "range": {"start": "0/to/5", "end": 3}}, "key 'start': '0/to/5' is not accepted"),
        ({**SERIES, "range": [0, 0]}, "has a value twice"),
        ({**SERIES, "range": []}, "key 'range': "),
        ({"type": "verticalprofile", "points": POINTS, "axes": "step"}, "key 'axes': 'step' is not accepted"),
        ({"type": "position", "points": POINTS, "range": [1]}, "key 'range' is not known"),
        ({**BOX, "points": [[0, 0], [1, 1], [2, 2]]}, "the number of points is 3; expected 2"),
        ({**BOX, "points": [[0, 0, 0], [1, 1, 1]]}, "expected [latitude, longitude]"),
        ({**BOX, "points": [[0, 0], [1, 361]]}, "is more than 360 degrees wide"),
        ({**POLYGON, "shape": SQUARE[:-1]}, "the ring is open; expected its first point [0.0, 0.0]"),
        ({**POLYGON, "shape": [[0, 0], [4, 4], [0, 4], [4, 0], [0, 0]]}, "cross; expected rings that do not"),
        ({**POLYGON, "shape": [[SQUARE, [[1, 1], [1, 9], [2, 9], [1, 1]]]]}, "cross; expected rings"),
        ({**POLYGON, "shape": [[0, 0], [1, 1], [2, 2], [0, 0]]}, "a ring has no area"),
        ({**POLYGON, "shape": [[0, 0], [1, 1], [0, 0]]}, "expected a ring of 4 points or more"),
        ({**POLYGON, "shape": "POLYGON((0 0))"}, "expected a ring [[latitude, longitude], ...]"),
        ({**POLYGON, "shape": [SQUARE, SQUARE[:-1]]}, "key 'shape': polygon 2: the ring is open"),
        ({**POLYGON, "shape": [[[[[0, 0]]]]]}, "expected a ring"),
        ({**POLYGON, "shape": [[[]]]}, "expected a ring of 4 points or more"),
        ({"type": "circle", "center": [[0, 0]]}, "key 'radius' is missing"),
        ({"type": "circle", "center": [[0, 0]], "radius": 0}, "more than 0 and at most 180"),
        (
            {"type": "circle", "center": [[0, 0], [1, 1]], "radius": 1},
            "the number of points is 2; expected 1",
        ),
        (
            {"type": "frame", "outer_box": [[0, 0], [1, 1]], "inner_box": [[0, 0], [2, 1]]},
            "is not inside of 'outer_box'",
        ),
        ({**PATH, "points": [[0, 0]]}, "the number of points is 1; expected 2 to 10000"),
        ({**PATH, "inflation": [1, 2, 3]}, "expected one number, or one for each of latitude, longitude"),
        ({**PATH, "inflation": -1}, "key 'inflation': -1 is not accepted; expected 0 or more"),
        ({**PATH, "inflate": "square"}, "key 'inflate': 'square' is not accepted; expected round or box"),
        ({**PATH, "axes": ["lat", "lon", "date"]}, "key 'axes': 'date' is not accepted"),
        ({**PATH_4D, "points": [[0, 0], [1, 1]]}, "expected [latitude, longitude, levelist, step]"),
    ],
)
def test_what_is_wrong_is_said_with_what_would_do(value: Any, sentence: str) -> None:
    text = said(value)
    assert sentence in text
    assert text.startswith("feature: ")


def test_everything_that_is_wrong_is_said_at_once() -> None:
    text = said({**SERIES, "points": [[91, 0], [0, "x"]], "range": {"start": 3, "end": 0}, "colour": 1})
    assert len(text.splitlines()) == 4


def test_limits_are_named_with_their_refusal() -> None:
    assert "the number of points is 3; expected 1 to 2" in said(
        {**SERIES, "points": POINTS * 3}, max_points=2
    )
    big = said({"type": "boundingbox", "points": [[0, 0], [10, 10]]}, max_area=1000)
    assert "covers about 1,230,252 square kilometres; at most 1,000 are accepted" in big
    holes = {**POLYGON, "shape": [[SQUARE, HOLE], [SQUARE, HOLE]]}
    assert "the number of points of all rings is 20; expected at most 19" in said(holes, max_points=19)
    assert isinstance(read_feature(holes), Polygon)


def test_what_is_shown_of_a_hostile_feature_is_short() -> None:
    for value in ("x" * 60_000, ["x"] * 10_000, {str(n): n for n in range(5000)}):
        assert len(said(value)) < 10_000
        assert len(said({**SERIES, "points": value})) < 10_000
        assert len(said({**SERIES, "range": value})) < 10_000


def test_all_polygons_of_a_request_share_the_time_for_their_edges() -> None:
    # Given polygons each of which could be checked alone
    saw: list[list[float]] = [[40 if n % 2 else -40, n / 20] for n in range(900)]
    ring = [*saw, [-50, 46], [-50, -1], saw[0]]
    assert read_feature({**POLYGON, "shape": ring}).area > 0
    assert "polygon 2: has too many edges" in said({**POLYGON, "shape": [ring, ring]})
