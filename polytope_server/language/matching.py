"""Whether a data source serves a request of a user, and with which request exactly."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from itertools import islice
from typing import Any

from polytope_server.language.coercion import DEFAULT_RULES, OPAQUE_KEYS, CoercionRules, coerce
from polytope_server.language.date_rules import Days, date_test, days_of, utc_moment
from polytope_server.language.errors import RequestError, RuleError, shown
from polytope_server.language.naming import rename
from polytope_server.language.no_request import describe_no_request
from polytope_server.language.ranges import MAX_VALUES, Range, joined, read_values
from polytope_server.language.source_rules import ImpliedKeys, SourceRules, Spelling
from polytope_server.language.values import folded
from polytope_server.roles import has_role

_NAMED = 5
"""The most values outside a rule that the reason names."""
_SHOWN_RULE = 300
"""Characters of a rule that are shown in the reason."""


class TooManyValuesError(RequestError):
    """The request describes more values than are compared with the rules of data sources."""


@dataclass(frozen=True)
class MatchResult:
    """The request that goes to the data source, or the reason why it does not. True if it matched."""

    request: dict[str, Any] | None
    reason: str = ""

    def __bool__(self) -> bool:
        return self.request is not None


class Judgement:
    """One coerced request before the data sources of a collection, one after the other.

    What they have in common is done once: each value is read once, and judged once by each different rule.
    A range is judged by its ends and its pitch. What can only be judged value by value is, up to a number of
    values for all data sources together.
    """

    def __init__(
        self,
        request: Mapping[str, Any],
        *,
        realm: str,
        user_roles: Collection[str],
        coercion: CoercionRules = DEFAULT_RULES,
        today: date | None = None,
        now: datetime | None = None,
        comparisons: int = MAX_VALUES,
    ) -> None:
        """`request` is left as it is. `now` is the clock by default, in UTC, and `today` the day of `now`.

        `comparisons` is how many values may be judged one by one.
        """
        self._request = request
        self._realm, self._user_roles = realm, user_roles
        self._coercion = coercion
        self._now = utc_moment(today, now)
        self._today = today or self._now.date()
        self._values: dict[str, Range | list[str]] = {}
        self._verdicts: dict[tuple[str, tuple[str, ...], Spelling | None], str | None] = {}
        self._comparisons = self._budget = comparisons
        self._complete: dict[ImpliedKeys, Judgement | str] = {}

    def match(self, source: SourceRules) -> MatchResult:
        """Whether this data source serves the request.

        On success the result holds the request with the keys that it implies, the defaults of absent keys,
        the patch on top, and lists joined with `/` (except in `data` and `feature`). Otherwise the reason
        names the key, its value and what is allowed. Rules that are wrong (`validate_rules` finds them)
        reject, and the reason says so.
        TooManyValuesError if too many values would have to be judged one by one: then no data source serves
        it.
        """
        if source.roles and not has_role(source.roles, self._realm, self._user_roles):
            return MatchResult(None, "user not authorized.")
        if source.implied is None or "feature" not in self._request:
            return self._match_rules(source)
        if source.implied not in self._complete:
            self._complete[source.implied] = self._completed(source.implied, source.aliases)
        complete = self._complete[source.implied]
        if isinstance(complete, str):
            return MatchResult(None, complete)
        complete._budget = self._budget
        try:
            return complete._match_rules(source)
        finally:
            self._budget = complete._budget

    def _completed(self, implied: ImpliedKeys, aliases: Mapping[str, str]) -> Judgement | str:
        """The judgement of the request with the keys that it implies, or why it cannot be read."""
        try:
            request = self._rename_request(aliases)
            further = coerce(implied(request), self._coercion, today=self._today)
            for key in further.keys() & request.keys():
                if joined(key, request[key]) != joined(key, further[key]):
                    raise RequestError(
                        f"key '{key}' is given twice, as {shown(request[key])} and in the feature as "
                        f"{shown(further[key])}; give it once"
                    )
        except RequestError as error:
            # Not the error itself: its traceback would keep the request alive.
            return str(error)
        return Judgement(
            {**request, **further},
            realm=self._realm,
            user_roles=self._user_roles,
            coercion=self._coercion,
            today=self._today,
            now=self._now,
            comparisons=self._comparisons,
        )

    def _match_rules(self, source: SourceRules) -> MatchResult:
        """The same for a user who may use it, and a request that implies nothing more."""
        try:
            defaults = self._coerce_section(source.defaults, source.aliases)
            patch = self._coerce_section(source.patch, source.aliases)
        except RequestError as error:
            return MatchResult(None, f"the data source's defaults or patch are wrong: {error}")
        try:
            effective = {**defaults, **self._rename_request(source.aliases)}
        except RequestError as error:
            return MatchResult(None, str(error))
        if source.accepts_feature and self._is_no_request():
            return MatchResult(None, describe_no_request(self._request["data"]))
        if not source.accepts_mappings and (reason := find_mapping(effective)):
            return MatchResult(None, reason)
        if source.accepts_feature != ("feature" in effective):
            wanted = "needs" if source.accepts_feature else "does not accept"
            return MatchResult(None, f"the data source {wanted} the key 'feature'")
        for name, rule in source.match.items():
            key = str(name).lower()
            reason = self._rejection(source.aliases.get(key, key), rule, effective, source.spelling)
            if reason:
                return MatchResult(None, reason)
        return MatchResult({key: _delivered(key, value) for key, value in {**effective, **patch}.items()})

    def _is_no_request(self) -> bool:
        """Whether it is what coercion makes of anything but a mapping."""
        return set(self._request) == {"data"}

    def _coerce_section(self, section: Mapping[str, Any], aliases: Mapping[str, str]) -> dict[str, Any]:
        return coerce(rename(section, aliases), self._coercion, today=self._today)

    def _rename_request(self, aliases: Mapping[str, str]) -> Mapping[str, Any]:
        """The request with its keys as the data source calls them, their values read as values of those."""
        if aliases.keys().isdisjoint(self._request):
            return self._request
        found = rename(self._request, aliases)
        return {**found, **coerce(_without(found, self._request), self._coercion, today=self._today)}

    def _rejection(
        self, key: str, rule: Any, request: Mapping[str, Any], spelling: Spelling | None
    ) -> str | None:
        """Why one rule does not admit the request; None if it does."""
        if isinstance(rule, list | tuple) and not rule:
            return f"key '{key}' is not accepted" if key in request else None
        if key not in request and self._is_no_request():
            return describe_no_request(self._request["data"])
        if key not in request:
            return f"request does not contain key '{key}', expected one of {_list_rule(rule)}"
        if key not in self._request:
            return self._verdict(key, rule, request[key], spelling)
        items = tuple(map(repr, rule)) if isinstance(rule, list | tuple) else (repr(rule),)
        place = key, items, spelling
        if place not in self._verdicts:
            self._verdicts[place] = self._verdict(key, rule, request[key], spelling)
        return self._verdicts[place]

    def _verdict(self, key: str, rule: Any, value: Any, spelling: Spelling | None) -> str | None:
        """The same for a key that the request has."""
        try:
            if key == "date":
                test = date_test(rule, today=self._today, now=self._now)
                reason = test(self._read_days(key, value))
                return f"key 'date' : {reason}" if reason else None
            wrong, count = self._wrong(key, value, allowed(key, rule, self._today, spelling), spelling)
        except RuleError as error:
            return f"the data source's rule for key '{key}' is wrong: {error}"
        except TooManyValuesError:
            raise
        except RequestError as error:
            return str(error)
        if not wrong:
            return None
        more = f" and {count - len(wrong)} more" if count > len(wrong) else ""
        return f"key '{key}' : {', '.join(map(shown, wrong))}{more} not in {_list_rule(rule)}"

    def _read_days(self, key: str, value: Any) -> Days:
        days = days_of(self._read_value(key, value))
        self._spend(key, value, 0 if isinstance(days, range) else len(days))
        return days

    def _wrong(
        self, key: str, value: Any, admitted: Allowed, spelling: Spelling | None
    ) -> tuple[list[str], int]:
        """The first values that a rule does not admit, and how many there are."""
        found = self._read_value(key, value)
        if isinstance(found, list):
            self._spend(key, value, len(found))
            wrong = [text for text in found if _spell(key, text, spelling) not in admitted.values]
            return wrong[:_NAMED], len(wrong)
        if any(part.covers(found) for part in admitted.ranges):
            return [], 0
        # Of a range with more values than the rule, some are wrong; they are counted from the rule's side.
        self._spend(key, value, min(found.count, len(admitted.values)))
        named = list(islice((text for text in found.texts() if text not in admitted.values), _NAMED))
        return named, found.count - found.count_of(admitted.values) if named else 0

    def _read_value(self, key: str, value: Any) -> Range | list[str]:
        """What the value describes, read once if it is the request's own; RequestError if that is nothing."""
        if key not in self._request:
            return read_values(key, value, today=self._today)
        if key not in self._values:
            self._values[key] = read_values(key, value, today=self._today)
        return self._values[key]

    def _spend(self, key: str, value: Any, count: int) -> None:
        self._budget -= count
        if self._budget < 0:
            raise TooManyValuesError(
                f"key '{key}': {shown(value)} is not accepted: the values of this request take more than "
                f"{self._comparisons} comparisons with the rules of the data sources; ask for fewer values"
            )


def _without(request: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in request.items() if key not in other}


def find_mapping(request: Mapping[str, Any]) -> str | None:
    """Why a request does not go to a data source that takes no mappings; None if it has none."""
    for key, value in request.items():
        if isinstance(value, Mapping) and key not in OPAQUE_KEYS:
            expected = "expected a text, a number or a list of them"
            return f"key '{key}': {shown(dict(value))} is not accepted; {expected}"
    return None


def _delivered(key: str, value: Any) -> Any:
    return joined(key, value) if isinstance(value, list) and key not in OPAQUE_KEYS else value


def _list_rule(rule: Any) -> str:
    items = rule if isinstance(rule, list | tuple) else [rule]
    return shown([str(item) for item in items[:_SHOWN_RULE]], _SHOWN_RULE)


def _spell(key: str, text: str, spelling: Spelling | None) -> str:
    """A value as it is compared with others."""
    text = folded(key, text)
    return spelling(key, text) if spelling else text


@dataclass(frozen=True)
class Allowed:
    """What a rule admits: every value, those of its ranges too, and the ranges once more as they are."""

    values: frozenset[str]
    ranges: tuple[Range, ...]


def allowed(key: str, rule: Any, today: date | None = None, spelling: Spelling | None = None) -> Allowed:
    """What a rule admits on that day, in one spelling; RuleError if it is not such a rule."""
    items = rule if isinstance(rule, list | tuple) else [rule]
    if any(isinstance(item, list | tuple) for item in items):
        raise RuleError(f"a list inside the list {shown(rule)} cannot be a rule")
    try:
        # Only days may be relative to today.
        day = today if key == "hdate" else None
        return _expand(key, tuple(joined(key, item) for item in items), day, spelling)
    except RequestError as error:
        raise RuleError(str(error)) from None


@lru_cache(maxsize=1024)
def _expand(key: str, items: tuple[str, ...], today: date | None, spelling: Spelling | None) -> Allowed:
    # Rules are few and constant, requests many: a range of 100,000 values is expanded once.
    found = [read_values(key, item, today=today) for item in items]
    ranges = tuple(part for part in found if isinstance(part, Range))
    texts = (text for part in found for text in (part.values() if isinstance(part, Range) else part))
    return Allowed(frozenset(_spell(key, text, spelling) for text in texts), ranges)
