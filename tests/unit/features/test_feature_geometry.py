"""Areas on the sphere, edges that cross, and spans of levels and steps."""

from __future__ import annotations

import math
import random
from itertools import pairwise

import pytest

from polytope_server.features import Point, Ring, read_feature, select_archived
from polytope_server.features.geometry import (
    CrossingSearch,
    IntricateError,
    box_area,
    cap_area,
    path_area,
    ring_area,
)

EARTH = 4 * math.pi * 6371.229**2


def test_the_areas_of_boxes_rings_and_circles_are_those_on_the_sphere() -> None:
    assert box_area(-90, -180, 90, 180) == pytest.approx(EARTH)
    assert box_area(0, 350, 90, 440) == pytest.approx(EARTH / 8)
    assert cap_area(90) == pytest.approx(EARTH / 2)
    assert ring_area(((0, 0), (0, 90), (90, 90), (90, 0), (0, 0))) == pytest.approx(EARTH / 8)


def test_the_area_of_a_ring_is_the_sum_of_its_parts() -> None:
    # Given a triangle, and the same cut into thin slices of latitude
    triangle: Ring = ((10.0, 0.0), (60.0, 5.0), (10.0, 30.0), (10.0, 0.0))
    slices = 5000
    height = 50 / slices
    widths = (25 + 5 - 30 * (n + 0.5) / slices for n in range(slices))
    parts = (box_area(10 + n * height, 0, 10 + (n + 1) * height, width) for n, width in enumerate(widths))
    assert ring_area(triangle) == pytest.approx(sum(parts), rel=1e-4)


def test_holes_and_inner_boxes_are_no_area() -> None:
    square, hole = [[0, 0], [0, 4], [4, 4], [4, 0], [0, 0]], [[1, 1], [1, 2], [2, 2], [2, 1], [1, 1]]
    whole, left = (read_feature({"type": "polygon", "shape": shape}) for shape in (square, [[square, hole]]))
    assert whole.area - left.area == pytest.approx(box_area(1, 1, 2, 2))
    frame = read_feature({"type": "frame", "outer_box": [[0, 0], [4, 4]], "inner_box": [[1, 1], [2, 2]]})
    assert frame.area == pytest.approx(left.area)


def test_a_path_covers_at_least_the_boxes_around_its_points() -> None:
    path: list[Point] = [(0, 0), (0, 10)]
    assert path_area(path, (1, 1)) == pytest.approx(box_area(-1, -1, 1, 11), rel=1e-3)


def brute_crossing(ring: Ring) -> bool:
    def side(a: Point, b: Point, c: Point) -> float:
        return (b[1] - a[1]) * (c[0] - a[0]) - (b[0] - a[0]) * (c[1] - a[1])

    edges = list(pairwise(ring))
    return any(
        side(a, b, c) * side(a, b, d) < 0 and side(c, d, a) * side(c, d, b) < 0
        for n, (a, b) in enumerate(edges)
        for c, d in edges[:n]
    )


def test_crossing_edges_are_found_as_by_comparing_all_of_them() -> None:
    drawn = random.Random(1)
    found = []
    for _ in range(300):
        points = [(drawn.uniform(-9, 9), drawn.uniform(-9, 9)) for _ in range(drawn.randrange(3, 9))]
        ring = (*points, points[0])
        crossing = CrossingSearch().find([ring])
        assert (crossing is not None) is brute_crossing(ring)
        found.append(crossing)
    assert 50 < sum(one is None for one in found) < 250


def test_a_long_ring_is_checked_and_one_that_is_too_intricate_is_given_up() -> None:
    turn = [2 * math.pi * n / 9000 for n in range(9000)]
    circle = [(40 * math.sin(angle), 40 * math.cos(angle)) for angle in turn]
    assert CrossingSearch().find([(*circle, circle[0])]) is None
    saw = [(80.0 if n % 2 else -80.0, n / 100) for n in range(9000)]
    with pytest.raises(IntricateError):
        CrossingSearch().find([(*saw, (-85.0, 91.0), (-85.0, -1.0), saw[0])])


@pytest.mark.parametrize(
    ("key", "text", "archived", "judged", "chosen"),
    [
        ("step", "0/to/12", ["0", "6", "12", "18"], True, ["0", "6", "12"]),
        ("step", "0/to/2", ["0", "30m", "1", "2"], False, ["0", "30m", "1", "2"]),
        ("step", "0/to/2", ["0", "30m", "1", "2"], True, ["0", "1", "2"]),
        ("step", "0/to/12", ["0-6", "6-12"], False, []),
        ("levelist", "1000/to/500", ["500", "1000", "250", "850"], True, ["1000", "850", "500"]),
        ("levelist", "0.1/to/10", ["0.5", "1", "10"], False, ["0.5", "1", "10"]),
        (
            "date",
            "20240101/to/20240103",
            ["20240103", "20240101", "20240104"],
            True,
            ["20240101", "20240103"],
        ),
    ],
)
def test_a_range_without_an_interval_means_what_the_archive_has(
    key: str, text: str, archived: list[str], judged: bool, chosen: list[str]
) -> None:
    assert select_archived(key, text, archived, judged=judged) == chosen
