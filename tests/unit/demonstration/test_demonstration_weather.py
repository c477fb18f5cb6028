"""The made-up atmosphere: smooth, plausible, and consistent in itself."""

from datetime import date

import numpy as np
import pytest

from polytope_demonstration import fields
from polytope_demonstration.weather import EARTH_RADIUS, GRAVITY, Atmosphere, Pressure, Variant
from polytope_server.datasource.fdb import grib

DAY = date(2026, 1, 2)


def points(step=0.01):
    latitudes, longitudes = np.meshgrid(np.arange(-88, 89, 4.0), np.arange(0, 360, 6.0))
    return latitudes.ravel(), longitudes.ravel(), step


@pytest.mark.parametrize("variant", [Variant(), Variant(0.4, 1.2)])
def test_the_gradient_of_the_pressure_is_its_gradient(variant):
    latitudes, longitudes, step = points()
    given = Atmosphere(latitudes, longitudes).pressure(3.7, variant)

    def value(dlat, dlon):
        return Atmosphere(latitudes + dlat, longitudes + dlon).pressure(3.7, variant).value

    radians = np.radians(2 * step)
    assert given.across == pytest.approx((value(step, 0) - value(-step, 0)) / radians, abs=1)
    assert given.along == pytest.approx((value(0, step) - value(0, -step)) / radians, abs=1)


def test_the_wind_blows_around_a_low_and_into_it():
    low = Atmosphere(np.array([50.0, -50.0]), np.array([0.0, 0.0]))
    falling_eastwards = Pressure(np.full(2, 1e5), np.full(2, -5000.0), np.zeros(2))
    u, v = low.wind(falling_eastwards)
    # With the low to the east: southwards in the north, northwards in the south, and towards it.
    assert v[0] < 0 < v[1]
    assert (u > 0).all()


def test_values_are_those_of_weather():
    bounds = {"2t": (215, 325), "10u": (-60, 60), "10v": (-60, 60), "msl": (90_000, 106_000)}
    for day in range(1, 28, 9):
        values = fields.compute(date(2026, 2, day), 0)
        for name, (least, most) in bounds.items():
            assert least < values[name, None].min() < values[name, None].max() < most


def test_thickness_between_levels_is_that_of_the_air_between_them():
    """The hypsometric equation, with the mean of both temperatures."""
    values = fields.compute(DAY, 12)
    thickness = (values["z", 500] - values["z", 700]) / GRAVITY
    mean = (values["t", 500] + values["t", 700]) / 2
    assert thickness == pytest.approx(287.05 * mean / GRAVITY * np.log(700 / 500), rel=0.01)


def test_forecasts_from_different_days_agree():
    late, early = fields.compute(DAY, 0), fields.compute(date(2026, 1, 1), 24)
    assert all(np.array_equal(late[key], early[key]) for key in late)


def test_fields_are_smooth_and_not_constant():
    msl = fields.compute(DAY, 0)["msl", None]
    assert msl.std() > 300
    # Neighbours on a latitude differ by little, but where one latitude ends and the next begins.
    assert np.median(np.abs(np.diff(msl))) < 50
    assert EARTH_RADIUS > 6e6


def test_every_field_of_a_forecast_comes_with_its_label():
    wanted = list(fields.labels(DAY))
    assert len(wanted) == 9 * (4 + 2 * 10)
    messages = list(fields.messages(DAY))
    assert len(messages) == len(wanted)
    for label, message in zip(wanted, messages, strict=True):
        keys = grib.read_field(bytearray(message)).keys
        assert keys["shortName"] == label.param
        assert (keys["date"], keys["step"], keys["expver"]) == ("20260102", str(label.step), "0001")
        assert keys.get("levelist") == (label.level and str(label.level))


def test_a_single_message_is_the_one_of_the_forecast():
    label = fields.Label("t", DAY, 0, 500)
    position = list(fields.labels(DAY)).index(label)
    assert fields.message(label) == list(fields.messages(DAY))[position]
