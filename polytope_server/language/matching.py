"""Whether a data source serves a request of a user, and with which request exactly (spec 13.1)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import lru_cache
from typing import Any

from polytope_server.language.coercion import DEFAULT_RULES, OPAQUE_KEYS, CoercionRules, coerce
from polytope_server.language.date_rules import check_dates, utc_moment
from polytope_server.language.errors import RequestError, RuleError, shown
from polytope_server.language.ranges import as_values, joined

CASELESS_KEYS = frozenset({"class", "stream", "type", "levtype", "domain", "model", "experiment", "activity"})
"""Keys whose values MARS reads in either case, so that a rule must, too."""


@dataclass(frozen=True)
class SourceRules:
    """What a data source's section says about the requests that it serves.

    `roles`: realm -> roles, or roles of any realm; empty admits everybody. `accepts_feature`: true for type
    polytope, whose requests must have a `feature`; those of all other types must not.
    """

    roles: Mapping[str, Sequence[str]] | Sequence[str] = ()
    match: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    patch: Mapping[str, Any] = field(default_factory=dict)
    accepts_feature: bool = False


@dataclass(frozen=True)
class MatchResult:
    """The request that goes to the data source, or the reason why it does not. True if it matched."""

    request: dict[str, Any] | None
    reason: str = ""

    def __bool__(self) -> bool:
        return self.request is not None


def match(
    request: Mapping[str, Any],
    source: SourceRules,
    *,
    realm: str,
    user_roles: Collection[str],
    coercion: CoercionRules = DEFAULT_RULES,
    today: date | None = None,
    now: datetime | None = None,
) -> MatchResult:
    """Judge a coerced request against one data source; the request itself is left as it is.

    On success the result holds the request with the defaults of absent keys, the patch on top, and lists
    joined with `/` (except in `data` and `feature`). Otherwise the reason names the key, its value and
    what is allowed. Rules that are wrong (`validate_rules` finds them) reject, and the reason says so.
    Without `today` it is the day of `now`, and `now` is the clock, in UTC.
    """
    if not authorized(source.roles, realm, user_roles):
        return MatchResult(None, "user not authorized.")
    moment = utc_moment(today, now)
    day = today or moment.date()
    try:
        effective = {**coerce(source.defaults, coercion, today=day), **request}
        patch = coerce(source.patch, coercion, today=day)
    except RequestError as error:
        return MatchResult(None, f"the data source's defaults or patch are wrong: {error}")
    if source.accepts_feature != ("feature" in effective):
        wanted = "needs" if source.accepts_feature else "does not accept"
        return MatchResult(None, f"the data source {wanted} the key 'feature'")
    for name, rule in source.match.items():
        reason = _rejection(str(name).lower(), rule, effective, day, moment)
        if reason:
            return MatchResult(None, reason)
    return MatchResult({key: _delivered(key, value) for key, value in {**effective, **patch}.items()})


def authorized(
    roles: Mapping[str, Sequence[str]] | Sequence[str], realm: str, user_roles: Collection[str]
) -> bool:
    """Whether a user of the realm has one of the roles; no roles at all admit everybody."""
    if not roles:
        return True
    wanted = roles.get(realm, ()) if isinstance(roles, Mapping) else roles
    # A single role written without a list must not match each of its letters.
    return bool(set([wanted] if isinstance(wanted, str) else wanted) & set(user_roles))


def _delivered(key: str, value: Any) -> Any:
    return joined(key, value) if isinstance(value, list) and key not in OPAQUE_KEYS else value


def _rejection(key: str, rule: Any, request: Mapping[str, Any], today: date, now: datetime) -> str | None:
    """Why one rule does not admit the request; None if it does."""
    if isinstance(rule, list | tuple) and not rule:
        return f"key '{key}' is not accepted" if key in request else None
    if key not in request:
        return f"request does not contain key '{key}', expected one of {_listed(rule)}"
    value = request[key]
    try:
        if key == "date":
            reason = check_dates(value, rule, today=today, now=now)
            return f"key 'date' : {reason}" if reason else None
        admitted = allowed(key, rule)
        wrong = [item for item in as_values(key, value, today=today) if _folded(key, item) not in admitted]
    except RuleError as error:
        return f"the data source's rule for key '{key}' is wrong: {error}"
    except RequestError as error:
        return str(error)
    if not wrong:
        return None
    more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
    return f"key '{key}' : {', '.join(repr(item) for item in wrong[:5])}{more} not in {_listed(rule)}"


def _listed(rule: Any) -> str:
    items = rule if isinstance(rule, list | tuple) else [rule]
    return shown([str(item) for item in items], 300)


def _folded(key: str, text: str) -> str:
    return text.lower() if key in CASELESS_KEYS else text


def allowed(key: str, rule: Any) -> frozenset[str]:
    """Every value that a rule admits, ranges and lists in it expanded; RuleError if it is not such a rule."""
    items = rule if isinstance(rule, list | tuple) else [rule]
    if any(isinstance(item, list | tuple) for item in items):
        raise RuleError(f"a list inside the list {shown(rule)} cannot be a rule")
    try:
        return _expanded(key, tuple(joined(key, item) for item in items))
    except RequestError as error:
        raise RuleError(str(error)) from None


@lru_cache(maxsize=1024)
def _expanded(key: str, items: tuple[str, ...]) -> frozenset[str]:
    # Rules are few and constant, requests many: a range of 100,000 values is expanded once.
    return frozenset(_folded(key, value) for item in items for value in as_values(key, item))
