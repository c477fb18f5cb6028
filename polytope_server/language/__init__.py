"""The language of requests: text -> value -> canonical request -> the data source that serves it.

`parse` reads the user's text, `coerce` brings it to one spelling or says everything that is wrong, and a
`Judgement` matches it against data sources. Pure functions without I/O.
"""

from polytope_server.language.coercion import CoercionRules, coerce
from polytope_server.language.errors import RequestError
from polytope_server.language.json_text import load_json
from polytope_server.language.matching import Judgement, TooManyValuesError
from polytope_server.language.parsing import parse, read_plain
from polytope_server.language.ranges import MAX_VALUES
from polytope_server.language.source_rules import SourceRules, Spelling
from polytope_server.language.validation import validate_source

__all__ = [
    "MAX_VALUES",
    "CoercionRules",
    "Judgement",
    "RequestError",
    "SourceRules",
    "Spelling",
    "TooManyValuesError",
    "coerce",
    "load_json",
    "parse",
    "read_plain",
    "validate_source",
]
