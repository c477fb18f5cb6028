"""Keys of a request that choose no field, and say what is to be done with the fields.

Fields are served as they are stored. A value that asks for just that is taken off, and the user reads so; any
other is refused, unless the data source serves the key, or its configuration has the key ignored. Nothing is
ignored in silence.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator

from polytope_server.datasource import DataSourceError, Job
from polytope_server.datasource.fdb.expectation import Expectation, read_expectation
from polytope_server.datasource.fdb.keys import AS_STORED, EXPECT, NOT_DATA, is_off
from polytope_server.language.errors import RequestError, shown
from polytope_server.language.ranges import split
from polytope_server.texts import clipped

#: Editions of GRIB by the values of `format` that demand one.
_EDITIONS = {"grib1": 1, "grib edition 1": 1, "grib2": 2, "grib edition 2": 2}
#: Values that ask for what is done anyway, in small letters (metkit 1.22, language.yaml). Answers propose the
#: first of them.
_DONE_ANYWAY: Mapping[str, tuple[str, ...]] = {
    **AS_STORED,
    "duplicates": ("remove",),
    "format": ("grib", "gb", "p", "packed", *_EDITIONS),
    "padding": ("0", "none", "n"),
    "process": ("local", "server"),
    "units": ("av",),
    "use": ("normal", "n", "frequent", "f", "infrequent", "i", "monthly run", "disk"),
}
#: Keys whose values mean something to a MARS client alone, by the verb.
_OF_THE_CLIENT = {"retrieve": ("target", "optimise"), "archive": ("source", "target", "optimise")}
_AS_STORED = "fields are served as they are stored"
#: Why a key is not served, where it is not because fields are served as they are stored.
_REASONS = {
    "database": "the collection says which archive is asked",
    EXPECT: "all that is asked for must be there",
    "fieldset": "the result is one file, which is downloaded",
    "filter": "it is for observations, and there are only fields",
    "source": "data come from the archive of the collection, and from no file",
}
#: Characters of a value, and of all keys and values, in a sentence.
_LONGEST_VALUE, _LONGEST = 40, 400


def _check_ignored(names: tuple[str, ...]) -> tuple[str, ...]:
    if wrong := [name for name in names if name not in NOT_DATA]:
        raise ValueError(
            f"{shown(wrong[0])} cannot be ignored; what can be are the keys that choose no field: "
            f"{', '.join(sorted(NOT_DATA))}"
        )
    return names


IgnoredKeys = Annotated[tuple[str, ...], AfterValidator(_check_ignored)]
"""A key of a data source: names of keys that are ignored in requests."""


@dataclass(frozen=True)
class Instructions:
    """What a data source does with these keys: it heeds those `served`, unless they are `ignored`."""

    served: frozenset[str] = frozenset()
    ignored: frozenset[str] = frozenset()

    def serves(self, key: str) -> bool:
        """Whether a key is heeded."""
        return key in self.served and key not in self.ignored

    def refusals(self, request: Mapping[str, Any], verb: str) -> list[str]:
        """A sentence for each key that would change the data, and is not served."""
        return [
            _describe_refusal(key, value)
            for key, value in self._given(request)
            if key not in self.ignored and not is_done_anyway(key, value, verb)
        ]

    def check(self, request: Mapping[str, Any], verb: str) -> None:
        """Raises DataSourceError for a request with such a key."""
        if refused := self.refusals(request, verb):
            raise DataSourceError(str(RequestError(*refused)))

    def remark(self, job: Job, idle: Mapping[str, str] | None = None) -> None:
        """Say in the job's message what of its request has no effect.

        `idle` are keys that are served, and whose values ask for what is there.
        """
        given = [*self._given(job.coerced_request), *(idle or {}).items()]
        ignored = [_shortly(key, value) for key, value in given if key in self.ignored]
        anyway = [_shortly(key, value) for key, value in given if key not in self.ignored]
        if ignored:
            job.note(f"Ignored, {_AS_STORED}: {clipped(', '.join(ignored), _LONGEST)}.")
        if anyway:
            job.note(f"Without effect, as it is so anyway: {clipped(', '.join(anyway), _LONGEST)}.")

    def edition_of(self, request: Mapping[str, Any]) -> int | None:
        """The edition of GRIB that all fields of a request must have; None if any will do."""
        given = dict(self._given(request)).get("format")
        return None if given is None or "format" in self.ignored else _EDITIONS.get(_text(given).lower())

    def expectation(self, request: Mapping[str, Any]) -> Expectation | None:
        """How many fields a request expects; None if it does not say. Raises DataSourceError."""
        return read_expectation(request) if self.serves(EXPECT) else None

    def _given(self, request: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        """The keys that choose no field and are not served, with their values."""
        for key, value in request.items():
            if key in NOT_DATA and not self.serves(key) and not is_off(value):
                yield key, value


def is_done_anyway(key: str, value: Any, verb: str) -> bool:
    """Whether a value of a key that chooses no field asks for what is done without it."""
    return key in _OF_THE_CLIENT.get(verb, ()) or all(
        word in _DONE_ANYWAY.get(key, ()) for word in split(_text(value).lower())
    )


def _describe_refusal(key: str, value: Any) -> str:
    would_do = _DONE_ANYWAY.get(key)
    hint = f"leave it out, or say '{would_do[0]}'" if would_do else "leave it out"
    reason = _REASONS.get(key, _AS_STORED)
    return f"key '{key}': {shown(_text(value), _LONGEST_VALUE)} is not accepted: {reason}; {hint}"


def _text(value: Any) -> str:
    """A value as requests have it in a text."""
    items = value if isinstance(value, list | tuple) else [value]
    return "/".join(item if isinstance(item, str) else shown(item) for item in items)


def _shortly(key: str, value: Any) -> str:
    return f"{key}={clipped(_text(value), _LONGEST_VALUE)}"
