"""What is wrong with a data source's rules, for the check of a configuration."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from polytope_server.language.coercion import DEFAULT_RULES, CoercionRules, coerce
from polytope_server.language.date_rules import date_test, utc_moment
from polytope_server.language.errors import RequestError, RuleError, shown
from polytope_server.language.matching import allowed, find_mapping
from polytope_server.language.naming import rename
from polytope_server.language.source_rules import SourceRules


def validate_rules(match: object, *, today: date | None = None, now: datetime | None = None) -> list[str]:
    """The problems of a data source's `match` section, one text each; empty if there are none.

    Finds keys given twice in different case, values that are neither a text, a number nor a list of them,
    values that their key never takes, ranges without end, wrong date rules and mixed styles of them.
    """
    if not isinstance(match, Mapping):
        return [f"match: {shown(match)} is not accepted; expected a mapping of keys to allowed values"]
    moment = utc_moment(today, now)
    day = today or moment.date()
    keys = [str(key).lower() for key in match]
    problems = [f"match: key '{key}' is given twice" for key in dict.fromkeys(keys) if keys.count(key) > 1]
    for key, rule in zip(keys, match.values(), strict=True):
        try:
            _check_rule(key, rule, day, moment)
        except (RuleError, RequestError) as error:
            named = str(error).startswith(f"key '{key}'")
            problems.append(f"match: {error}" if named else f"match: key '{key}': {error}")
    return problems


def _check_rule(key: str, rule: Any, today: date, now: datetime) -> None:
    if isinstance(rule, list | tuple) and not rule:
        return  # the key must be absent
    if key == "date":
        date_test(rule, today=today, now=now)
    else:
        allowed(key, rule)


def validate_source(source: SourceRules, coercion: CoercionRules = DEFAULT_RULES) -> list[str]:
    """The same for a whole data source: its `match`, and `defaults` and `patch` that cannot be coerced."""
    try:
        problems = validate_rules(rename(source.match, source.aliases))
    except RequestError as error:
        problems = [f"match: {error}"]
    for name, section in (("defaults", source.defaults), ("patch", source.patch)):
        try:
            coerced = coerce(rename(section, source.aliases), coercion)
        except RequestError as error:
            problems.extend(f"{name}: {problem}" for problem in error.problems)
            continue
        if not source.accepts_mappings and (reason := find_mapping(coerced)):
            problems.append(f"{name}: {reason}")
        if source.accepts_feature and "feature" in coerced:
            problems.append(f"{name}: key 'feature' is not accepted; requests have their own")
    return problems
