"""Generated requests for features at the door: each is taken or refused with a sentence, and soon.

FUZZ_FEATURES=<number> makes more or fewer of them, FUZZ_SEED=<number> others.
"""

from __future__ import annotations

import copy
import json
import math
import os
import random
import time
from collections import Counter
from typing import Any

import pytest

from polytope_server.collection import DataSourceConfig
from polytope_server.datasource.fdb import keys
from polytope_server.datasource.fdb.metkit import tables
from polytope_server.datasource.polytope.check import FeatureCheck, implied_keys
from polytope_server.features import DEFAULT_LIMITS
from polytope_server.frontend.refusals import RefusedError
from polytope_server.frontend.source_selection import Source, SourceSelection
from polytope_server.language import MAX_VALUES, CoercionRules, SourceRules
from polytope_server.request import Verb
from polytope_server.user import User

COUNT = int(os.environ.get("FUZZ_FEATURES", "300"))
SEED = int(os.environ.get("FUZZ_SEED", "1"))
#: Bytes of a request that a frontend reads by default, and seconds for one of them on a busy machine.
LARGEST, LONGEST = 64 << 10, 3.0
RING = [[0, 0], [0, 4], [4, 4], [4, 0], [0, 0]]
FEATURES: list[dict[str, Any]] = [
    {"type": "timeseries", "points": [[38, -9], [50, 8]], "time_axis": "step"}
    | {"range": {"start": 0, "end": 240, "interval": 6}},
    {"type": "timeseries", "points": [[38, -9]], "time_axis": "date", "range": [20240101, 20240102]},
    {"type": "verticalprofile", "points": [[38, -9]], "axes": "levelist", "range": {"start": 0, "end": 1000}},
    {"type": "boundingbox", "points": [[0, 0, 500], [1, 1, 850]], "axes": ["lat", "long", "level"]},
    {"type": "polygon", "shape": RING},
    {"type": "polygon", "shape": [[RING, [[1, 1], [1, 2], [2, 2], [1, 1]]], [RING]]},
    {"type": "circle", "center": [[0, 0]], "radius": 1, "axes": ["latitude", "longitude"]},
    {"type": "position", "points": [[38, -9], [51, 0]]},
    {"type": "trajectory", "points": [[0, 0, 500, 0], [1, 1, 850, "30m"]], "inflation": [1, 1, 9, 1]}
    | {"inflate": "box"},
    {"type": "frame", "outer_box": [[0, 0], [9, 9]], "inner_box": [[1, 1], [2, 2]]},
]
REQUEST = {"class": "od", "stream": "oper", "type": "fc", "date": "20240101", "time": "0000", "param": "2t"}
REQUEST |= {"levtype": "pl", "expver": "0001"}
#: What some of the features ask for themselves.
FURTHER: list[dict[str, Any]] = [{}, {"step": "0"}, {"levelist": "500"}, {"step": "0/to/9", "levelist": 500}]
ODD: list[Any] = [
    *(None, True, 0, -1, 91, 360, -720.5, 1e9, 1e308, -1e308, 5e-324, 10**30, math.nan, math.inf),
    *("", " ", "0", "NaN", "inf", "1e400", "0/to/240", "0/to/1000000000/by/1", "a/b", "to", "\x00", "é", "½"),
    *("step", "LATITUDE", "timeseries", "x" * 3000, [], {}, [[]], [[[]]], [[[[]]]], [None], [[None, None]]),
    *({"start": 0}, {"start": 9, "end": 0}, {"end": []}, ["latitude"] * 50, {"type": {"type": "polygon"}}),
    list(range(9000)),
    [[n % 90, n % 360] for n in range(4000)],
    [[80 if n % 2 else -80, n / 20] for n in range(4000)],
    [[[n / 100, 0], [n / 100, 1], [1, 1], [n / 100, 0]] for n in range(1000)],
]


class Generator:
    """Makes requests; one depends on the seed and its number only."""

    def request(self, number: int) -> str:
        self.drawn = random.Random(f"{SEED}/{number}")
        feature = copy.deepcopy(self.drawn.choice(FEATURES))
        for _ in range(self.drawn.choice((0, 1, 1, 1, 2, 3))):
            feature = self.change(feature)
        kept = self.drawn.sample(sorted(REQUEST), self.drawn.randrange(5, len(REQUEST) + 1))
        request = {key: REQUEST[key] for key in kept} | self.drawn.choice(FURTHER) | {"feature": feature}
        if self.drawn.random() < 0.1:
            request[self.drawn.choice(sorted(REQUEST))] = self.drawn.choice(ODD)
        text = json.dumps(request)
        return text if len(text) <= LARGEST else text[:LARGEST]

    def change(self, value: Any) -> Any:
        """The value with one part of it replaced, left out, repeated or renamed."""
        if not isinstance(value, dict | list) or not value or self.drawn.random() < 0.15:
            return copy.deepcopy(self.drawn.choice(ODD))
        place = self.drawn.choice(sorted(value) if isinstance(value, dict) else range(len(value)))
        action = self.drawn.random()
        if action < 0.15:
            value.pop(place)
        elif action < 0.3 and isinstance(value, dict):
            value[self.drawn.choice((str(place).upper(), f"{place}s", "axis", "padding", "x" * 90))] = value[
                place
            ]
        elif action < 0.4 and isinstance(value, list):
            value += [value[place]] * self.drawn.choice((1, 10, 3000))
        else:
            value[place] = self.change(value[place])
        return value


def make_selection() -> tuple[SourceSelection, list[Source]]:
    """Three data sources, as a frontend has them."""
    check = FeatureCheck(None, tables(), DEFAULT_LIMITS)
    sources = [
        Source(
            DataSourceConfig(name, "polytope", {}),
            SourceRules(match=match, accepts_feature=True, implied=implied_keys, aliases=keys.ALIASES),
            False,
            check=check,
        )
        for name, match in {
            "steps": {"step": [0, 6, 12]},
            "dates": {"date": "20200101/to/20240101", "levelist": "1/to/1000"},
            "rest": {},
        }.items()
    ]
    return SourceSelection({"c": sources}, CoercionRules()), sources


@pytest.fixture(scope="module")
def outcomes() -> list[tuple[str, str, float]]:
    """Of each request: its text, what its user reads, and the seconds that it took."""
    print(f"FUZZ_SEED={SEED} FUZZ_FEATURES={COUNT}")
    selection, sources = make_selection()
    generator, user, found = Generator(), User("alice", "test"), []
    for number in range(COUNT):
        text = generator.request(number)
        begun, said = time.perf_counter(), ""
        try:
            source, request = selection.select(sources, user, text, Verb.RETRIEVE, MAX_VALUES)
            source.check_request(request, Verb.RETRIEVE)
        except RefusedError as error:
            said = str(error)
        found.append((text, said, time.perf_counter() - begun))
    return found


def test_requests_of_every_kind_are_taken_and_refused(outcomes: list[tuple[str, str, float]]) -> None:
    kinds = Counter(
        (feature["type"], not said)
        for feature in FEATURES
        for text, said, _ in outcomes
        if f'"{feature["type"]}"' in text
    )
    assert {kind for kind, taken in kinds if taken} == {kind for kind, taken in kinds if not taken}
    assert len({said for _, said, _ in outcomes}) > COUNT / 6


def test_each_is_answered_soon_with_a_short_text(outcomes: list[tuple[str, str, float]]) -> None:
    slowest = max(outcomes, key=lambda one: one[2])
    assert slowest[2] < LONGEST, slowest[0][:500]
    assert max(len(said) for _, said, _ in outcomes) < 20_000


def test_what_is_taken_is_finite_and_in_order(outcomes: list[tuple[str, str, float]]) -> None:
    for text, said, _ in outcomes:
        assert said or not any(word in text for word in ("NaN", "Infinity", "1e+308", "1e400"))
