"""Any upload: each field can be asked for and comes back byte for byte, or none of them becomes visible.

`make test` archives 60 messages, four at a time; `make test-archive` sets POLYTOPE_MESSAGES to 2000.
"""

import os
import tempfile
from collections import Counter
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import pytest
from fdb_fields import FILED, listed, make, read
from grib_messages import encode, encode_member, joined
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polytope_server.datasource import DataSourceError
from polytope_server.language import coerce
from polytope_server.testing.datasource import job

MESSAGES = int(os.environ.get("POLYTOPE_MESSAGES", "60"))
#: Messages of one upload.
TOGETHER = 4
POINTS = 16 * 31
#: Parameters of one moment by their type of level, and those of a period, which are at the surface.
OF_A_MOMENT = {"sfc": (167, 165, 151), "pl": (130, 131, 129), "ml": (130, 133)}
OF_A_PERIOD = (228, 142, 143)
LEVELS = {
    "sfc": st.none(),
    "pl": st.integers(1, 1000) | st.sampled_from((0.01, 0.2, 0.5)),
    "ml": st.integers(1, 137),
}
UNITS = {"h": 3600, "m": 60, "s": 1}
PACKINGS = ("grid_simple", "grid_ccsds", "grid_complex", "grid_complex_spatial_differencing", "grid_ieee")


@dataclass(frozen=True)
class Field:
    """A field, in the terms of the one who makes it."""

    edition: int
    day: date
    #: HHMM.
    time: int
    expver: str
    #: None for a forecast that is no ensemble.
    member: int | None
    levtype: str
    level: float | None
    param: int
    #: The end of its step and the length of its period (0: a moment), in `unit`.
    step: int
    period: int
    unit: str
    packing: str
    values: str

    @property
    def request(self):
        """What one asks for it with."""
        ensemble = {} if self.member is None else {"stream": "enfo", "type": "pf", "number": str(self.member)}
        level = {} if self.level is None else {"levelist": f"{self.level:g}"}
        return {
            "class": "od",
            "stream": "oper",
            "type": "fc",
            "domain": "g",
            "date": self.day.isoformat(),
            "time": f"{self.time:04}",
            "expver": self.expver,
            "levtype": self.levtype,
            "param": str(self.param),
            "step": f"{self.step}{self.unit}",
            **ensemble,
            **level,
        }

    @property
    def identity(self):
        """What tells it from others, however its step is written."""
        return {**self.request, "step": self.step * UNITS[self.unit]}.items()

    def message(self, **more):
        """Its GRIB message; `more` keys of ecCodes."""
        keys = {"dataDate": int(f"{self.day:%Y%m%d}"), "dataTime": self.time, "expver": self.expver}
        keys |= {**self._level_keys(), "paramId": self.param, **self._step_keys()}
        keys |= {"packingType": self.packing if self.edition == 2 else "grid_simple", **more}
        values = [1.5 if self.values == "constant" else (i * 7919 % 977) / 7 for i in range(POINTS)]
        if self.values == "gaps":
            keys |= {"bitmapPresent": 1, "missingValue": 9999}
            values[::3] = [9999.0] * len(values[::3])
        if self.member is not None:
            return encode_member(self.member, values, **keys)
        return encode(values, self.edition, **keys)

    def _level_keys(self):
        if self.level is None:
            return {"typeOfLevel": "surface"}
        if self.levtype == "ml":
            return {"typeOfLevel": "hybrid", "level": self.level}
        if self.level < 1:
            return {"typeOfLevel": "isobaricInPa", "level": round(self.level * 100)}
        return {"typeOfLevel": "isobaricInhPa", "level": self.level}

    def _step_keys(self):
        if self.edition == 1:
            return {"step": self.step}
        keys = {"indicatorOfUnitForForecastTime": self.unit}
        if self.period:
            keys |= {"indicatorOfUnitForTimeRange": self.unit, "lengthOfTimeRange": self.period}
        return keys | {"forecastTime": self.step - self.period}


@st.composite
def fields(draw):
    """A field that can be archived, and that no other rule of the FDB's speaks against."""
    edition = draw(st.sampled_from((1, 2, 2, 2)))
    levtype = draw(st.sampled_from(tuple(OF_A_MOMENT)))
    of_a_period = edition == 2 and levtype == "sfc" and draw(st.booleans())
    step = draw(st.integers(1, 240))
    level = draw(LEVELS[levtype])
    return Field(
        edition=edition,
        day=draw(st.dates(date(1950, 1, 1), date(2049, 12, 31))),
        time=draw(st.integers(0, 23)) * 100,
        expver=draw(st.sampled_from(("0001", "0042", "iabc", "IABC"))),
        member=draw(st.none() | st.integers(1, 50)) if edition == 2 else None,
        levtype=levtype,
        level=level if level is None or edition == 2 else max(1, level),
        param=draw(st.sampled_from(OF_A_PERIOD if of_a_period else OF_A_MOMENT[levtype])),
        step=step - draw(st.integers(0, 1)) * (not of_a_period),
        period=draw(st.integers(1, step)) if of_a_period else 0,
        unit=draw(st.sampled_from(tuple(UNITS))) if edition == 2 else "h",
        packing=draw(st.sampled_from(PACKINGS)),
        values=draw(st.sampled_from(("varied", "constant", "gaps"))),
    )


def unknown(field):
    """The field in a discipline of no parameter."""
    return [replace(field, edition=2).message(discipline=209)]


def several(field):
    """Two fields in one message."""
    return [joined(*[replace(field, edition=2).message()] * 2)]


def twice(field):
    """The field, and other values for the same."""
    return [replace(field, values=values).message() for values in ("varied", "constant")]


FLAWS = {
    "a parameter without a number": unknown,
    "holds 2 fields": several,
    "two messages of the upload": twice,
    "key 'number': '0' is not accepted": lambda field: [replace(field, edition=2, member=0).message()],
    "key 'time': ": lambda field: [replace(field, time=field.time + 30).message()],
    "cut short or damaged": lambda field: [field.message()[:-1]],
}
uploads = st.lists(
    fields(), min_size=TOGETHER, max_size=TOGETHER, unique_by=lambda field: frozenset(field.identity)
)
#: One upload in three has a flaw.
flaws = st.sampled_from((None,) * 2 * len(FLAWS) + tuple(FLAWS))


def archive(source, messages, labels, piece):
    """Archive messages, which come in pieces of that many bytes."""
    data = b"".join(messages)
    pieces = (data[start : start + piece] for start in range(0, len(data), piece))
    source.archive(job(labels, verb="archive"), pieces)


def labels_of(made):
    """A request for all fields, by the keys that tell most of them apart."""
    keys = ("class", "date", "time", "expver", "param", "step")
    values = {key: [coerce({key: field.request[key]})[key] for field in made] for key in keys}
    return coerce({key: list(dict.fromkeys(found)) for key, found in values.items()})


@pytest.fixture
def _in_memory(monkeypatch):
    """Hundreds of FDBs on a disk are hundreds of waits for it."""
    if Path("/dev/shm").is_dir():
        monkeypatch.setattr("tempfile.tempdir", "/dev/shm")


@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("_in_memory")
def test_what_is_archived_can_be_asked_for_and_what_cannot_is_refused():
    outcomes = Counter()

    @settings(
        max_examples=MESSAGES // TOGETHER,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(uploads, flaws, st.booleans(), st.integers(100, 10_000))
    def check(made, flaw, named, piece):
        with tempfile.TemporaryDirectory() as folder:
            source = make(Path(folder), schema=FILED)
            labels = labels_of(made) if named and not flaw else {"class": "od"}
            if flaw:
                messages = [field.message() for field in made[1:]] + FLAWS[flaw](made[0])
                with pytest.raises(DataSourceError, match=flaw):
                    archive(source, messages, labels, piece)
                assert listed(source) == []
            else:
                messages = [field.message() for field in made]
                archive(source, messages, labels, piece)
                assert [read(source, **coerce(field.request)) for field in made] == messages
                printed = listed(source)
                assert sorted(read(source, **coerce(keys)) for keys in printed) == sorted(messages)
        outcomes[flaw or "archived"] += len(messages)

    check()
    print(f"{outcomes.total()} messages: {dict(outcomes)}")
    assert outcomes.total() >= MESSAGES
    assert outcomes["archived"]
