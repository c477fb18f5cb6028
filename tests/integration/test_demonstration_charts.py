"""The charts of features that the demonstration draws."""

from __future__ import annotations

import json
from pathlib import Path

import made_coverages
import matplotlib.image
import numpy as np
import pytest

from polytope_demonstration import charts, client, coverages


def load(folder: Path, request: dict[str, object], text: str = "") -> coverages.Collection:
    file = folder / "result.covjson"
    file.write_text(text or made_coverages.text_for(request))
    return coverages.load(file)


def test_a_collection_says_what_it_holds(tmp_path: Path) -> None:
    found = load(tmp_path, client.METEOGRAM)
    assert len(found.coverages) == 8
    assert str(found) == "640 values of 2t, 10u, 10v, msl, tp in 8 coverages"
    assert found.coverages[0].point == pytest.approx(client.WHERE)
    assert found.units["msl"] == "Pa"
    assert str(load(tmp_path, client.AREA)).endswith("in 1 coverage")


def test_a_value_that_a_field_does_not_have_is_none(tmp_path: Path) -> None:
    made = json.loads(made_coverages.text_for(client.AREA))
    made["coverages"][0]["ranges"]["2t"]["values"][1] = None
    [coverage] = load(tmp_path, client.AREA, json.dumps(made)).coverages
    assert np.flatnonzero(np.isnan(coverage.values["2t"])).tolist() == [1]
    assert coverage.points.shape == (len(coverage.values["2t"]), 2)


def test_all_three_charts_are_in_the_picture(tmp_path: Path) -> None:
    found = [load(tmp_path, request) for request in (client.METEOGRAM, client.PROFILES, client.AREA)]
    charts.draw(client.PLACE, *found, tmp_path / "features.png")
    image = matplotlib.image.imread(tmp_path / "features.png")
    height, width, _ = image.shape
    left, right = image[:, : width // 2], image[:, width // 2 :]
    for part in (left, right[: height // 2], right[height // 2 :]):
        colours = np.unique(part.reshape(-1, part.shape[2]), axis=0)
        assert len(colours) > 30


@pytest.mark.parametrize(
    ("latitude", "longitude", "text"),
    [(53.27, -6.3, "53.3°N 6.3°W"), (-33.9, 18.4, "33.9°S 18.4°E"), (0.0, 0.0, "0° 0°")],
)
def test_positions_are_read_as_on_a_map(latitude: float, longitude: float, text: str) -> None:
    assert charts.position(latitude, longitude) == text
