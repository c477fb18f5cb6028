"""Requests of the field that an earlier build answered wrongly, by the names of their collection.

Each stands for its kind, so that several rows have one number. Those that are not about a request, but about
HTTP, uploads or stores, are in `rules_elsewhere.py`.
"""

import json
from typing import Any

from rules_rows import FDB, FEATURES, FIELD, POINT, Json, Row, invalid, refused, taken

OPEN = "match: {}"
TAKES_ALL = f"- {FDB}"
LEVELS = f"- {FDB[:-1]}, match: {{levelist: [500, 850]}}}}"
#: What most of the requests have.
L = {**FIELD, "step": "0"}
PL = {**L, "levtype": "pl", "param": "t"}
MARS = ", ".join(f"{key}={value}" for key, value in L.items())
HINT = "write a range a/to/b as one text"
WANTED = 'expected keys with values, such as {"class": "od", "param": "2t"}, or as text: class=od, param=2t'
ZERO = "coercion: {number_allow_zero: true}"


def _fdb(name: str, change: dict[str, Any], given: dict[str, Any], **keys: Any) -> Row:
    """A row for L with changes, which an FDB takes; what it gets is L with what is `given`."""
    return taken(name, TAKES_ALL, {**L, **change}, {**L, **given}, by="fdb", **keys)


def _not_fdb(name: str, change: dict[str, Any], *words: str, **keys: Any) -> Row:
    return refused(name, TAKES_ALL, {**L, **change}, *words, **keys)


def _text(name: str, text: str, given: dict[str, Any] | None = None) -> Row:
    """A row for a text of L."""
    return taken(name, TAKES_ALL, text, {**L, **(given or {})}, by="fdb")


def _number(written: str) -> Json:
    """L with a parameter as it is written here."""
    return Json(json.dumps({**L, "param": "PARAM"}).replace('"PARAM"', written))


def _named(key: str, name: str) -> dict[str, Any]:
    """L on pressure levels, with another name for a key."""
    request: dict[str, Any] = {**PL, "levelist": "500"}
    return {name if other == key else other: value for other, value in request.items()}


def _but_step(request: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in request.items() if key != "step"}


RANGES: tuple[Row, ...] = (
    # L1: steps of times as times
    *(
        _fdb(f"L1-by-{by}", {"time": f"0000/to/2300/by/{by}"}, {"time": f"0000/to/2300/by/{given}"})
        for by, given in (("0100", 1), ("01:00", 1), ("1", 1), ("01", 1), ("0300", 3), ("6h", 6))
    ),
    _not_fdb("L1-by-minutes", {"time": "0000/to/2300/by/0130"}, "'0000/to/2300/by/0130' is not a range"),
    taken(
        "L1-within-rules",
        "match: {time: 0000/to/2300/by/0300}",
        {"time": "0000/to/1800/by/0600"},
        {"time": "0000/to/1800/by/6"},
    ),
    refused(
        "L1-beyond-rules",
        "match: {time: 0000/to/1800/by/0600}",
        {"time": "0000/to/2300/by/0100"},
        "'0100', '0200', '0300', '0400', '0500' and 15 more not in",
    ),
    # L7: a list that is meant as a range
    *(
        _not_fdb(
            f"L7-{key}", {key: value}, f"key '{key}': '{value[1]}' inside a list is not accepted; {HINT}"
        )
        for key, value in (
            ("date", [20260101, "to", 20260110]),
            ("step", [0, "to", 24, "by", 6]),
            ("time", ["0000", "TO", "1200"]),
            ("number", [1, "to", 5]),
            ("param", ["130", "to", "133"]),
        )
    ),
    # Of keys that are not coerced the list is what the FDB gets: the range.
    taken(
        "L7-levelist",
        LEVELS.replace("[500, 850]", "500/to/502"),
        {**PL, "levelist": [500, "to", 502]},
        {**PL, "levelist": "500/to/502"},
        by="fdb",
    ),
    # L9 and P5: periods that follow on each other
    _fdb("L9-eight-periods", {"step": "0-1/to/7-8"}, {"step": "0-1/to/7-8/by/1"}),
    _fdb("P5-with-by", {"step": "0-1/to/7-8/by/1"}, {"step": "0-1/to/7-8/by/1"}),
    _fdb("P5-of-a-day", {"step": "0-24/to/120-144"}, {"step": "0-24/to/120-144/by/24"}),
    _fdb("P5-that-overlap", {"step": "0-24/to/48-72/by/12"}, {"step": "0-24/to/48-72/by/12"}),
    _not_fdb("P5-of-two-lengths", {"step": "0-1/to/6-8"}, "is not a range", "of the same length"),
    _not_fdb("P5-and-a-step", {"step": "0/to/6-8"}, "'0/to/6-8' is not a range"),
    taken(
        "P5-within-rules", "match: {step: 0-1/to/11-12}", {"step": "3-4/to/5-6"}, {"step": "3-4/to/5-6/by/1"}
    ),
    refused(
        "P5-beyond-rules",
        "match: {step: [0-1/to/3-4]}",
        {"step": "0-1/to/7-8"},
        "'4-5', '5-6', '6-7', '7-8' not in ['0-1/to/3-4']",
    ),
    # P1: rules either way round
    taken("P1-relative", 'match: {date: ["-1/to/-20"]}', {"date": -20}, {"date": "20260209"}),
    refused(
        "P1-relative-beyond", 'match: {date: ["-1/to/-20"]}', {"date": -21}, "'20260208' not in ['-1/to/-20']"
    ),
    taken("P1-range", 'match: {date: ["-1/to/-20"]}', {"date": "-9/to/-5"}, {"date": "20260220/to/20260224"}),
    taken("P1-dates", "match: {date: 20260110/to/20260105}", {"date": "20260107"}, {"date": "20260107"}),
    taken("P1-steps", "match: {step: 24/to/0/by/6}", {"step": "0/to/24/by/12"}, {"step": "0/to/24/by/12"}),
    # Until 2030 there is nothing between: it is no span whose ends are the wrong way round.
    refused("P1-an-end-that-moves", "match: {date: 20300101/to/-5}", {"date": 0}, "'20260301' not in"),
    # P2: requests that run down
    _fdb("P2-relative", {"date": "-5/to/-10"}, {"date": "20260224/to/20260219"}),
    _fdb("P2-dates", {"date": "20260110/to/20260105"}, {"date": "20260110/to/20260105"}),
    _fdb("P2-dates-by", {"date": "20260110/to/20260105/by/-2"}, {"date": "20260110/to/20260105/by/-2"}),
    _fdb("P2-steps", {"step": "24/to/0/by/-6"}, {"step": "24/to/0/by/-6"}),
    _fdb("P2-steps-without-sign", {"step": "24/to/0/by/6"}, {"step": "24/to/0/by/-6"}),
    _fdb("P2-times", {"time": "1800/to/0000/by/6"}, {"time": "1800/to/0000/by/-6"}),
    _fdb("P2-levels", {**PL, "levelist": "1000/to/500/by/-250"}, {**PL, "levelist": "1000/to/500/by/-250"}),
    _not_fdb(
        "P2-sign-that-leads-away", {"step": "0/to/24/by/-6"}, "the number after 'by' must be greater than 0"
    ),
    refused("P2-within-rules", 'match: {date: "<30d"}', {"date": "-1/to/-40"}, "is not newer"),
    # Days of a year
    _fdb("day-of-a-year", {"date": "2026-060"}, {"date": "20260301"}),
    _fdb("days-of-years", {"date": "2025-365/to/2026-002"}, {"date": "20251231/to/20260102"}),
    _not_fdb("day-of-no-year", {"date": "2026-366"}, "'2026-366' is not accepted; expected YYYYMMDD"),
    # P4: steps in minutes (of messages: see elsewhere)
    _fdb("P4-zero", {"step": "0m"}, {"step": "0"}),
    _fdb("P4-70-minutes", {"step": "70m"}, {"step": "1h10m"}),
    _fdb("P4-range", {"step": "0m/to/1440m/by/10m"}, {"step": "0/to/24/by/10m"}),
    _fdb("P4-list", {"step": ["0m", "60m", "70m"]}, {"step": "0/1/1h10m"}),
)

NAMES: tuple[Row, ...] = (
    # L3 and P3: other names of keys, before the rules
    *(
        taken(f"P3-{name}", LEVELS, _named(key, name), {**PL, "levelist": "500"}, by="fdb")
        for key, names in (
            ("levelist", ("levellist", "leve", "level", "LevelList")),
            ("levtype", ("levtyp",)),
            ("param", ("parameter", "parameters")),
        )
        for name in names
    ),
    *(
        refused(
            f"P3-{name}",
            f"- {FDB[:-1]}, match: {{{key}: []}}}}",
            {**L, name: "x"},
            f"key '{key}' is not accepted",
        )
        for name, key in (("dbase", "database"), ("field", "fieldset"))
    ),
    refused(
        "L3-within-rules", LEVELS, {**PL, "levellist": 1000}, "key 'levelist' : '1000' not in ['500', '850']"
    ),
    refused(
        "L3-by-two-names", LEVELS, {**PL, "levellist": 500, "levelist": 500}, "as levelist and levellist"
    ),
    taken("L3-of-other-sources", OPEN, {"levellist": 500}, {"levellist": 500}),
    taken(
        "P3-of-features",
        f"- {FEATURES}",
        {**_but_step(_named("levelist", "levellist")), "feature": POINT},
        {**PL, "levelist": "500", "step": "0/to/6", "feature": POINT},
        by="features",
    ),
    # L8: the table of a parameter
    *(
        taken(f"L8-{name}", TAKES_ALL, asked, {**L, "param": given}, by="fdb")
        for name, asked, given in (
            ("number", _number("130.200"), "130.200"),
            ("numbers", _number("[130.200, 167]"), "130.200/167"),
            ("text-of-json", json.dumps(L).replace('"2t"', "130.200"), "130.200"),
            (
                "text-of-yaml",
                "\n".join(f"{k}: {v}" for k, v in L.items()).replace("2t", "130.200"),
                "130.200",
            ),
            ("text-of-mars", MARS.replace("2t", "130.200"), "130.200"),
            ("table-128", _number("167.128"), "167.128"),
        )
    ),
    taken("L8-within-rules", "match: {param: [130.200, 167]}", {"param": "130.200"}, {"param": "130.200"}),
    taken("L8-within-rules-one", "match: {param: 130.200}", Json('{"param": 130.200}'), {"param": "130.200"}),
    taken("L8-in-defaults", "defaults: {parameter: 130.200}", {}, {"parameter": "130.200"}),
    taken("L8-in-a-patch", "patch: {param: [130.200, 2t]}", {}, {"param": "130.200/2t"}),
    refused("L8-rounded", TAKES_ALL, _number("130.2"), "(number 130 of table 2); did you mean '130.200'?"),
    # L10: a filter, whatever is in it
    *(
        taken(f"L10-{name}", OPEN, asked, {"class": "od", "filter": given})
        for name, asked, given in (
            ("object", {"class": "od", "filter": "'select * where id=\"X\"'"}, "'select * where id=\"X\"'"),
            ("yaml", "class: od\nfilter: select a, b where c = 'X' # d", "select a, b where c = 'X'"),
            ("mars", "class=od, filter=\"select a / b where c='X'\"", "select a / b where c='X'"),
        )
    ),
    # L23: member 0, in requests (in messages: see elsewhere)
    _not_fdb(
        "L23-member-0", {"type": "pf", "number": 0}, "0 is not accepted; expected a whole number, 1 or more"
    ),
    _fdb("L23-member-0-allowed", {"type": "pf", "number": 0}, {"type": "pf", "number": "0"}, sections=ZERO),
    # P12: lists of these keys, and objects
    *(
        taken(f"P12-{key}", OPEN, {key: ["A", "B"]}, {key: "a/b"})
        for key in ("model", "experiment", "activity")
    ),
    refused("P12-model-within-rules", "match: {model: a}", {"model": ["A", "B"]}, "'b' not in ['a']"),
    taken("P12-objects", OPEN, {"a": {"b": [1, {"C": "'"}]}}, {"a": {"b": [1, {"C": "'"}]}}),
    _not_fdb(
        "P12-objects-to-an-fdb",
        {"where": {"id": 1}},
        "key 'where': {'id': 1} is not accepted; expected a text",
    ),
    taken(
        "P12-objects-pass-over-an-fdb",
        f"- {FDB}\n- {{name: a, type: echo}}",
        {**L, "where": {"id": 1}},
        {**L, "where": {"id": 1}},
    ),
)

TEXTS: tuple[Row, ...] = (
    _text("mars", f"retrieve, {MARS}"),
    # L4: comments
    _text("L4-comment", f"retrieve,\n class=od, # the class\n {MARS.removeprefix('class=od, ')}"),
    _text("L4-comment-at-the-ends", f"# mine\nretrieve, {MARS} # of January"),
    _text("L4-comment-for-a-key", f"{MARS},\n# step=6\n"),
    taken("L4-none-in-quotes", OPEN, "class=od, filter='a # b'", {"class": "od", "filter": "a # b"}),
    # L19: byte order marks
    _text("L19-mars", f"\ufeffretrieve, {MARS}"),
    _text("L19-mars-without-verb", f"\ufeff{MARS}"),
    _text("L19-yaml", "\ufeff" + "\n".join(f"{key}: {value}" for key, value in L.items())),
    _text("L19-json", "\ufeff" + json.dumps(L)),
    # L20: what is no request, whether the data source has rules or not
    *(
        refused(f"L20-{name}-{place}", sources, asked, f"{said}; {WANTED}")
        for place, sources in (
            ("open", TAKES_ALL),
            ("rules", "match: {class: od}"),
            ("features", f"- {FEATURES}"),
            ("dates", 'match: {date: ">1d"}'),
        )
        for name, asked, said in (
            (
                "verb",
                "ret,class=od",
                "the request begins with 'ret'; only retrieve may stand before the keys",
            ),
            ("list-of-one", [L], "the request is a list; send what is in it by itself"),
            ("list", [L, PL], "the request is a list"),
            ("text", "2t of today", "the request is a text without keys, '2t of today'"),
            ("number", 5, "the request is 5"),
            ("null", None, "the request is empty"),
            ("nothing", "", "the request is empty"),
        )
    ),
    refused("L20-empty", TAKES_ALL, {}, f"the request chooses no fields; {WANTED}"),
    taken("L20-text-for-a-source-of-texts", OPEN, "ret,class=od", {"data": "ret,class=od"}),
    # Several requests in one text
    *(
        refused(
            f"several-{name}", TAKES_ALL, text, "the text holds several requests; send each of them by itself"
        )
        for name, text in (
            ("retrieves", f"retrieve, {MARS}\nretrieve, step=6"),
            ("of-other-verbs", f"retrieve, {MARS}\nlist, step=6"),
            ("short", f"retrieve, {MARS}\n ret , step=6"),
        )
    ),
    refused("several-yaml", TAKES_ALL, "class: od\n---\nclass: rd", "several YAML documents; expected one"),
    # What a configuration that was accepted made of every request: see P1
    invalid("P1-no-range", "match: {date: -1/to}", "match.date", "is not accepted; expected a date"),
)
