"""What is wrong with a request for a feature, found when it is submitted, without the FDB."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from polytope_server.datasource import DataSourceError
from polytope_server.datasource.fdb import keys, selection
from polytope_server.datasource.fdb.check import MAX_VALUES, NO_INSTRUCTIONS, RequestCheck
from polytope_server.datasource.fdb.instructions import Instructions
from polytope_server.datasource.fdb.metkit import Tables
from polytope_server.datasource.fdb.schema import Schema
from polytope_server.features import (
    Feature,
    FeatureLimits,
    Points,
    TimeSeries,
    Trajectory,
    VerticalProfile,
    read_feature,
)
from polytope_server.language import RequestError
from polytope_server.language.errors import shown
from polytope_server.language.ranges import joined, split

FEATURE_KEYS = ("feature", "format")
"""Keys of a request that choose no fields."""
FORMATS = ("covjson", "application/json+covjson", "application/prs.coverage+json")
"""What `format` may be; all mean CoverageJSON."""
#: Keys whose ranges without `by` are such, whatever the feature. Of others they have each value.
_OPEN = frozenset({"step", "levelist", "time"})
_NO_LEVELS = frozenset({"sfc", "surface", "s"})


def implied_keys(request: Mapping[str, Any]) -> Mapping[str, str]:
    """What a request asks for through its feature. RequestError if the feature cannot be read."""
    return read_feature(request["feature"]).implied()


class FeatureCheck:
    """Checks requests for features of one FDB: the feature, the fields that it is of, and limits."""

    def __init__(
        self,
        demands: Schema | None,
        known: Tables | None,
        limits: FeatureLimits,
        instructions: Instructions = NO_INSTRUCTIONS,
    ) -> None:
        """`demands` and `known` are None where they cannot be read: then they are not checked.

        `instructions` says what becomes of keys that choose no field.
        """
        self._fields = RequestCheck(demands, known, limits.max_fields, instructions)
        self._limits = limits

    def __call__(self, request: Mapping[str, Any], verb: str) -> None:
        """Raises DataSourceError with everything that is wrong."""
        problems: list[str] = []
        feature = None
        try:
            feature = read_feature(request.get("feature"), self._limits)
            problems += _describe_misfits(feature, request)
        except RequestError as error:
            problems += error.problems
        fields = _fields_of(request, feature)
        try:
            self._fields(fields, verb)
        except DataSourceError as error:
            problems.append(str(error))
        if feature is not None and not problems:
            problems += self._describe_excess(feature, fields)
        if problems:
            raise DataSourceError(str(RequestError(*problems)))

    def _describe_excess(self, feature: Feature, fields: Mapping[str, Any]) -> Iterator[str]:
        """Values that are too many however the fields are laid out. For areas only the grid tells."""
        if not isinstance(feature, Points):
            return
        chosen = {key: value for key, value in fields.items() if key not in keys.NOT_DATA}
        values = selection.count_of(chosen, MAX_VALUES) * len(feature.points)
        if values > self._limits.max_values:
            yield f"the request describes {values} values; at most {self._limits.max_values} are accepted"


def _fields_of(request: Mapping[str, Any], feature: Feature | None) -> dict[str, Any]:
    """The request for the fields alone.

    A range of which only the archive knows how many values it has is there by its ends.
    """
    fields = {key: value for key, value in request.items() if key not in FEATURE_KEYS}
    for key, value in fields.items():
        if feature is not None and is_open(key, value, feature):
            first, _, last, *_ = split(value)
            fields[key] = "/".join(dict.fromkeys((first, last)))
    return fields


def is_open(key: str, value: Any, feature: Feature) -> bool:
    """Whether the value of a key is a range that means what the archive has between its ends."""
    words = [word.lower() for word in split(value)] if isinstance(value, str) else []
    if words[1:2] != ["to"]:
        return False
    if key in feature.keys and isinstance(feature, Trajectory):
        return True
    return "by" not in words and (key in feature.keys or key in _OPEN)


def _describe_misfits(feature: Feature, request: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with a feature and the keys of its request together."""
    form = str(request.get("format", FORMATS[0])).lower()
    if form not in FORMATS:
        yield f"key 'format': {shown(form)} is not accepted; features are served as {FORMATS[0]}"
    if isinstance(feature, TimeSeries | VerticalProfile):
        (key,) = feature.keys
        if key not in request:
            yield (
                f"feature: the {feature.type} needs values of '{key}': give them in its range, or as a key "
                "of the request"
            )
    if "levelist" in feature.keys and str(request.get("levtype")).lower() in _NO_LEVELS:
        yield f"key 'levtype': {shown(request['levtype'])} has no levels, which the {feature.type} needs"
    if isinstance(feature, Trajectory):
        for key, asked in feature.implied().items():
            if key in request and joined(key, request[key]) != asked:
                yield f"key '{key}': {shown(request[key])} is set, and the trajectory asks for {shown(asked)}"
