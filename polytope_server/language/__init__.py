"""The language of requests: text -> value -> canonical request -> the data source that serves it.

`parse` reads the user's text, `coerce` brings it to one spelling or says all that is wrong, `match` judges it
against one data source. Pure functions: no I/O, and nothing of the package outside of this folder.
"""

from polytope_server.language.coercion import CoercionRules, coerce
from polytope_server.language.date_rules import check_dates
from polytope_server.language.errors import RequestError, RuleError
from polytope_server.language.matching import (
    Judgement,
    MatchResult,
    SourceRules,
    TooManyValuesError,
    match,
)
from polytope_server.language.parsing import parse
from polytope_server.language.ranges import MAX_VALUES, as_values, expand_count
from polytope_server.language.validation import validate_rules, validate_source

__all__ = [
    "MAX_VALUES",
    "CoercionRules",
    "Judgement",
    "MatchResult",
    "RequestError",
    "RuleError",
    "SourceRules",
    "TooManyValuesError",
    "as_values",
    "check_dates",
    "coerce",
    "expand_count",
    "match",
    "parse",
    "validate_rules",
    "validate_source",
]
