"""Keys of requests for the FDB: which there are, and by what other names people call them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

#: Other names of keys that the MARS language has (metkit 1.22, language.yaml).
ALIASES = {
    "dbase": "database",
    "field": "fieldset",
    "leve": "levelist",
    "level": "levelist",
    "levellist": "levelist",
    "levtyp": "levtype",
    "parameter": "param",
    "parameters": "param",
}
#: Keys of the MARS language that choose no field (`instructions`). The FDB itself takes and ignores them.
_NOT_DATA_KEYS = """
accuracy area bitmap database day duplicates expect fieldset filter format frame gaussian grid
interpolation intgrid optimise packing padding process repres resol rotation source style target
truncation units use
"""
#: Further keys of the MARS language (metkit 1.22, language.yaml), without their aliases.
_DATA_KEYS = """
activity anoffset bcmodel channel chem class coeffindex configuration country dataset date diagnostic
direction domain experiment expver fcmonth fcperiod forcing frequency generation georef grib hdate
icmodel ident instrument iteration latitude leadtime levelist levtype longitude method model month number
obscutoff obsgroup obstype offsetdate offsettime opttime origin param paramtype product quantile range
realization reference reportype resolution section stattype step stream system tile tileattribute
tilescheme time timespan type wavelength year
"""
#: Unknown keys of a request for which an answer says what is probably meant.
_HINTS = 5
_ARCHIVED = ("av", "archived value", "archived-value")
#: Values that ask for fields as they are stored, in small letters (metkit 1.22, language.yaml). Answers
#: propose the first of them.
AS_STORED: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("accuracy", "grid", "packing", "resol"), _ARCHIVED),
    **dict.fromkeys(("intgrid", "truncation"), ("none",)),
    "area": ("global", "g"),
}
EXPECT = "expect"
NOT_DATA = frozenset(_NOT_DATA_KEYS.split())
DATA = frozenset(_DATA_KEYS.split())


def is_off(value: Any) -> bool:
    """Whether a key is there as if it were not: so users of MARS say it."""
    if isinstance(value, list | tuple) and len(value) == 1:
        value = value[0]
    return isinstance(value, str) and value.lower() == "off"


def describe_unknown(keys: Iterable[str], owner: str = "the FDB") -> list[str]:
    """A sentence for each key that the `owner` does not know.

    The FDB itself would take the beginning of a key, or a key in capitals, for one that the rules of the
    collection have judged.
    """
    unknown = [key for key in keys if key not in DATA and key not in NOT_DATA]
    sentences = [f"key '{key[:50]}' is not one of {owner}'s" for key in unknown]
    # PERF: to look for what is meant takes half a millisecond for each.
    hints = [f"{text}; {_suggest(key)}" for text, key in zip(sentences, unknown[:_HINTS], strict=False)]
    return hints + sentences[_HINTS:]


def _suggest(key: str) -> str:
    near = difflib.get_close_matches(ALIASES.get(key.lower(), key.lower()), sorted(DATA | NOT_DATA), 1)
    return f"did you mean '{near[0]}'?" if near else "keys are those of MARS, such as class, param and step"
