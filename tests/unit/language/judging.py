"""What tests ask of the language in one step."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Mapping
from typing import Any

from polytope_server.language import CoercionRules, Judgement, SourceRules
from polytope_server.language.date_rules import date_test, days_of, utc_moment
from polytope_server.language.matching import MatchResult
from polytope_server.language.ranges import Range, read_values


def match(
    request: Mapping[str, Any],
    source: SourceRules,
    *,
    realm: str,
    user_roles: Collection[str],
    coercion: CoercionRules | None = None,
    today: datetime.date | None = None,
) -> MatchResult:
    """A coerced request, judged by one data source."""
    coercion = coercion or CoercionRules()
    judgement = Judgement(request, realm=realm, user_roles=user_roles, coercion=coercion, today=today)
    return judgement.match(source)


def as_values(key: str, value: object, *, today: datetime.date | None = None) -> list[str]:
    """Every single value, in canonical text, that a value describes."""
    found = read_values(key, value, today=today)
    return found.values() if isinstance(found, Range) else found


def count_of_values(key: str, value: object, *, today: datetime.date | None = None) -> int:
    """How many single values a value describes, without walking a range."""
    found = read_values(key, value, today=today)
    return found.count if isinstance(found, Range) else len(found)


def check_dates(
    value: object,
    rules: object,
    *,
    today: datetime.date | None = None,
    now: datetime.datetime | None = None,
) -> str | None:
    """None if the rules cover every date that `value` describes, else the reason."""
    moment = utc_moment(today, now)
    day = today or moment.date()
    test = date_test(rules, today=day, now=moment)
    return test(days_of(read_values("date", value, today=day)))
