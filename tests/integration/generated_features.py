"""Generated requests for features: good ones, each with some of its parts replaced, repeated or left out."""

from __future__ import annotations

import copy
import json
import math
import os
import random
from collections.abc import Mapping
from typing import Any

COUNT = int(os.environ.get("FUZZ_FEATURES", "300"))
SEED = int(os.environ.get("FUZZ_SEED", "1"))
#: Bytes of a request that a frontend reads by default.
LARGEST = 64 << 10
RING = [[0, 0], [0, 4], [4, 4], [4, 0], [0, 0]]
FEATURES: list[dict[str, Any]] = [
    {"type": "timeseries", "points": [[38, -9], [50, 8]], "time_axis": "step"}
    | {"range": {"start": 0, "end": 12, "interval": 6}},
    {"type": "timeseries", "points": [[38, -9]], "time_axis": "date", "range": [20260101]},
    {"type": "verticalprofile", "points": [[38, -9]], "axes": "levelist", "range": {"start": 0, "end": 1000}},
    {"type": "boundingbox", "points": [[0, 0, 500], [1, 1, 850]], "axes": ["lat", "long", "level"]},
    {"type": "polygon", "shape": RING},
    {"type": "polygon", "shape": [[RING, [[1, 1], [1, 2], [2, 2], [1, 1]]], [RING]]},
    {"type": "circle", "center": [[0, 0]], "radius": 1, "axes": ["latitude", "longitude"]},
    {"type": "position", "points": [[38, -9], [51, 0]]},
    {"type": "trajectory", "points": [[0, 0, 500, 0], [3, 3, 850, "6h"]], "inflation": [4, 4, 9, 1]}
    | {"inflate": "box"},
    {"type": "frame", "outer_box": [[0, 0], [9, 9]], "inner_box": [[1, 1], [2, 2]]},
]
REQUEST = {"class": "od", "stream": "oper", "type": "fc", "date": "20260101", "time": "0000", "param": "2t"}
REQUEST |= {"levtype": "pl", "expver": "0001"}
#: What some of the features ask for themselves.
FURTHER: list[dict[str, Any]] = [
    {},
    {"step": "0"},
    {"levelist": "500"},
    {"step": "0/to/9", "levelist": 500},
    {"step": 6, "levelist": "500/850"},
]
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
    """Makes requests; one depends on the seed and its number only.

    `whole` is how often all keys of the fields are there, and as they should be.
    """

    def __init__(self, fields: Mapping[str, Any] = REQUEST, whole: float = 0.0) -> None:
        self._fields = dict(fields)
        self._whole = whole

    def request(self, number: int) -> str:
        self.drawn = random.Random(f"{SEED}/{number}")
        feature = copy.deepcopy(self.drawn.choice(FEATURES))
        for _ in range(self.drawn.choice((0, 0, 1, 1, 1, 2, 3))):
            feature = self.change(feature)
        request = {**self._fields, **self.drawn.choice(FURTHER), "feature": feature}
        if self.drawn.random() >= self._whole:
            for key in self.drawn.sample(sorted(self._fields), self.drawn.randrange(4)):
                del request[key]
            if self.drawn.random() < 0.1:
                request[self.drawn.choice(sorted(self._fields))] = self.drawn.choice(ODD)
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
