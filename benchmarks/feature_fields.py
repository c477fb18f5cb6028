"""The FDB from whose fields the benchmarks extract features: smooth fields on octahedral grids."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import eccodes
import numpy as np

from benchmarks.figure import Plan
from polytope_demonstration import fdb as demo

_SCHEMA = """
param: Param; step: Step; date: Date; time: Time; levelist: Double; expver: Expver; number: Integer;
[ class, expver, stream, date, time, domain
    [ type, levtype
        [ step, number?, levelist?, param ]]]
"""
_LABEL = {"class": "od", "expver": "0001", "domain": "g", "date": "20260101", "time": "0000"}
FORECAST = {**_LABEL, "stream": "oper", "type": "fc", "levtype": "sfc", "param": "167"}
UPPER = {**_LABEL, "stream": "oper", "type": "fc", "levtype": "pl", "param": "130"}
MEMBERS = {**_LABEL, "stream": "enfo", "type": "pf", "levtype": "sfc", "param": "167"}
STEPS = range(0, 54, 6)
LEVELS = (1000, 850, 500, 250)


def fill(root: Path, plan: Plan) -> dict[str, Any]:
    """Make an FDB below a folder; returns its configuration."""
    import pyfdb

    root.mkdir(parents=True, exist_ok=True)
    (root / "schema").write_text(_SCHEMA)
    (root / "data").mkdir()
    config = demo.configuration(root)
    fdb = pyfdb.FDB(config)
    for message in _messages(plan):
        fdb.archive(message)
    fdb.flush()
    return config


def _messages(plan: Plan) -> Iterator[bytes]:
    yield from _encode(plan.grid, ({"step": step} for step in STEPS))
    upper = ({"level": level, "step": step} for level in LEVELS for step in STEPS)
    yield from _encode(plan.upper_grid, upper, typeOfLevel="isobaricInhPa", paramId=130)
    members = (
        {"perturbationNumber": n + 1, "step": s} for n in range(plan.members) for s in range(plan.steps)
    )
    about = {"stream": "enfo", "type": "pf", "numberOfForecastsInEnsemble": plan.members}
    yield from _encode(plan.member_grid, members, **about)


def _encode(number: int, changes: Iterator[Mapping[str, int]], **about: Any) -> Iterator[bytes]:
    """Messages that differ in some keys. Their values are the same: nothing here depends on them."""
    handle = _make(number, "perturbationNumber" if "numberOfForecastsInEnsemble" in about else "", about)
    try:
        for change in changes:
            for key, value in change.items():
                eccodes.codes_set(handle, key, value)
            yield bytes(eccodes.codes_get_message(handle))
    finally:
        eccodes.codes_release(handle)


def _make(number: int, member: str, about: Mapping[str, Any]) -> int:
    handle: int = eccodes.codes_grib_new_from_samples("reduced_gg_pl_32_grib2")
    half = [20 + 4 * row for row in range(number)]
    counts = half + half[::-1]
    keys: dict[str, Any] = {"tablesVersion": 33, "N": number, "Nj": 2 * number}
    keys |= {"productDefinitionTemplateNumber": 1} if member else {}
    keys |= {"setLocalDefinition": 1, "localDefinitionNumber": 1}
    keys |= {"dataDate": 20260101, "dataTime": 0, "class": "od", "type": "fc", "stream": "oper"}
    keys |= {"expver": "0001", "paramId": 167, **about}
    eccodes.codes_set_array(handle, "pl", counts)
    for key, value in keys.items():
        eccodes.codes_set(handle, key, value)
    eccodes.codes_set(handle, "longitudeOfLastGridPointInDegrees", 360 - 360 / max(counts))
    points = np.arange(sum(counts))
    eccodes.codes_set(handle, "bitsPerValue", 16)
    eccodes.codes_set_values(handle, 280 + 20 * np.sin(points / 1000) + points % 97 / 50)
    return handle


def describe(number: int) -> tuple[str, int]:
    """The md5 of the section of an octahedral grid, and how many points it has."""
    handle = _make(number, "", {})
    try:
        return (
            eccodes.codes_get_string(handle, "md5GridSection"),
            eccodes.codes_get_long(handle, "numberOfDataPoints"),
        )
    finally:
        eccodes.codes_release(handle)
