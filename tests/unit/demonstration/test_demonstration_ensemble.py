"""The made-up ensemble: members that begin together, and drift apart."""

from datetime import date
from itertools import pairwise

import numpy as np
import pytest

from polytope_demonstration import ensemble, fields
from polytope_server.datasource.fdb import grib

DAY = date(2026, 1, 2)


def spread(step, param):
    """How much the members differ at a time, on average over the globe."""
    return np.std([ensemble.compute(DAY, step, n)[param] for n in ensemble.MEMBERS], axis=0).mean()


@pytest.mark.parametrize("param", ["2t", "10u", "10v", "msl", "tp"])
def test_members_begin_together_and_drift_apart(param):
    assert spread(0, param) == pytest.approx(0, abs=1e-9)
    assert 0 < spread(24, param) < spread(96, param)


def test_members_differ_on_each_day_and_are_the_same_each_time():
    first = ensemble.compute(DAY, 48, 1)["msl"]
    assert np.array_equal(first, ensemble.compute(DAY, 48, 1)["msl"])
    assert not np.array_equal(first, ensemble.compute(date(2026, 1, 3), 24, 1)["msl"])


def test_rain_falls_in_places_and_adds_up():
    values = ensemble.compute(DAY, 48, 1)
    assert values["tp"][np.argmin(values["msl"])] > 0
    assert 0.05 < (values["tp"] == 0).mean() < 0.9
    fallen = [found for label, found in ensemble.forecast(DAY, 1) if label.param == "tp"]
    assert len(fallen) == len(ensemble.STEPS) - 1
    assert all((later >= earlier).all() for earlier, later in pairwise(fallen))
    assert 0 < fallen[-1].max() < 0.5  # m, in four days


def test_fields_are_labelled_as_members_of_an_ensemble(monkeypatch):
    monkeypatch.setattr(ensemble, "MEMBERS", (3,))
    labels = [label for label, _ in ensemble.forecast(DAY, 3)]
    messages = list(ensemble.messages(DAY))
    assert len(messages) == len(labels) == 5 * len(ensemble.STEPS) - 1
    for label, message in zip(labels, messages, strict=True):
        keys = grib.read_field(bytearray(message)).keys
        assert (keys["stream"], keys["type"], keys["number"]) == ("enfo", "pf", "3")
        assert (keys["shortName"], keys["date"], keys["expver"]) == (label.param, "20260102", "0001")
        assert grib.canonical("step", keys["step"]).rpartition("-")[2] == str(label.step)


def test_the_grid_is_coarser_than_that_of_the_forecast():
    assert ensemble.GRID < fields.GRID
