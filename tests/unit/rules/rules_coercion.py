"""Section 13.3, how values are read and written. Every data source has a rule that the values must fulfil."""

from typing import Any

from rules_rows import Json, Row, refused, taken

#: A data source that takes everything.
OPEN = "match: {}"
MORE = "coercion: {allow_ranges: [levelist, month], allow_lists: [levelist, origin]}"
ZERO = "coercion: {number_allow_zero: true}"
ROOM = "frontend: {max_request: 1M, max_body: 2M}"
MANY = "/".join(str(one) for one in range(100_001))


def _read(name: str, key: str, value: Any, given: Any, **keys: Any) -> Row:
    return taken(f"13.3-{name}", OPEN, {key: value}, {key: given}, **keys)


def _wrong(name: str, key: str, value: Any, *words: str, **keys: Any) -> Row:
    return refused(f"13.3-{name}", OPEN, {key: value}, f"key '{key}': ", *words, **keys)


COERCION: tuple[Row, ...] = (
    # What is no object becomes data
    taken("13.3-text-is-data", OPEN, "a text", {"data": "a text"}),
    taken("13.3-number-is-data", OPEN, 5, {"data": 5}),
    taken("13.3-list-is-data", OPEN, [1, [2]], {"data": [1, [2]]}),
    taken("13.3-yaml-is-an-object", OPEN, "step: 0\nexpver: 0001", {"step": "0", "expver": "0001"}),
    # date
    _read("date-number", "date", 20260101, "20260101"),
    _read("date-text", "date", "20260101", "20260101"),
    _read("date-iso", "date", "2026-01-01", "20260101"),
    _read("date-iso-at-midnight", "date", "2026-01-01T00:00:00Z", "20260101"),
    _read("date-today", "date", 0, "20260301"),
    _read("date-yesterday", "date", "-1", "20260228"),
    _wrong("date-iso-at-noon", "date", "2026-01-01T12:00:00", "expected YYYYMMDD"),
    _wrong("date-tomorrow", "date", 1, "1 is not accepted; expected YYYYMMDD"),
    _wrong("date-not-in-the-calendar", "date", "20260229", "'20260229' is not accepted"),
    _wrong("date-a-month", "date", "202601", "'202601' is not accepted"),
    # step
    _read("step-0", "step", 0, "0"),
    _read("step-text", "step", "012", "12"),
    _read("step-whole-fraction", "step", 12.0, "12"),
    _read("step-minutes", "step", "30m", "30m"),
    _read("step-units-together", "step", "1d1h30m", "25h30m"),
    _read("step-days-are-hours", "step", "2d", "48"),
    _read("step-seconds", "step", "3600s", "1"),
    _read("step-period", "step", "0-24", "0-24"),
    _read("step-period-with-units", "step", "0h-1d", "0-24"),
    _wrong("step-negative", "step", -1, "-1 is not accepted; expected hours (12), a duration (30m, 1h30m"),
    _wrong("step-fraction", "step", 1.5, "1.5 is not accepted"),
    _wrong("step-other-unit", "step", "1w", "'1w' is not accepted"),
    _wrong("step-period-backwards", "step", "24-0", "'24-0' is not accepted"),
    _wrong("step-word", "step", "all", "'all' is not accepted"),
    # number
    _read("number-1", "number", "01", "1"),
    _wrong("number-0", "number", 0, "0 is not accepted; expected a whole number, 1 or more"),
    _wrong("number-0-in-a-range", "number", "0/to/5", "'0' is not accepted"),
    _read("number-0-allowed", "number", 0, "0", sections=ZERO),
    _read("number-0-allowed-in-a-range", "number", "0/to/5", "0/to/5", sections=ZERO),
    _wrong("number-negative", "number", -1, "expected a whole number, 0 or more", sections=ZERO),
    _wrong("number-fraction", "number", 1.5, "expected a whole number"),
    # param
    _read("param-number", "param", 167, "167"),
    _read("param-name", "param", "2t", "2t"),
    _read("param-of-a-table", "param", "129.128", "129.128"),
    _wrong("param-empty", "param", "", "'' is not accepted; expected a name"),
    _wrong("param-true", "param", True, "True is not accepted"),
    # time
    _read("time-0", "time", 0, "0000"),
    _read("time-H", "time", 6, "0600"),
    _read("time-HH", "time", "06", "0600"),
    _read("time-HHMM", "time", "0600", "0600"),
    _read("time-HMM", "time", 600, "0600"),
    _read("time-HH:MM", "time", "06:00", "0600"),
    _read("time-HH:MM:SS", "time", "18:00:00", "1800"),
    _wrong("time-with-minutes", "time", "06:30", "expected an hour of the day as H, HH, HHMM or HH:MM"),
    _wrong("time-HHMM-with-minutes", "time", "0630", "with minutes 00"),
    _wrong("time-24", "time", 24, "24 is not accepted"),
    # expver
    _read("expver-number", "expver", 1, "0001"),
    _read("expver-9999", "expver", "9999", "9999"),
    _read("expver-letters", "expver", "hplp", "hplp"),
    _read("expver-letters-in-capitals", "expver", "HpLp", "HpLp"),
    _wrong("expver-10000", "expver", 10000, "expected a number from 0 to 9999 or four letters and digits"),
    _wrong("expver-three-letters", "expver", "abc", "'abc' is not accepted"),
    _wrong("expver-negative", "expver", -1, "-1 is not accepted"),
    # model, experiment, activity; timespan
    _read("model", "model", "IFS-NEMO", "ifs-nemo"),
    _read("experiment", "experiment", "SSP3-7.0", "ssp3-7.0"),
    _read("activity", "activity", "ScenarioMIP", "scenariomip"),
    _read("timespan-null", "timespan", None, "none"),
    _read("timespan", "timespan", "1h", "1h"),
    # Ranges: number, step, date, time
    _read("range-number", "number", "1/to/50", "1/to/50"),
    _read("range-step", "step", "0/to/1d/by/6h", "0/to/24/by/6"),
    _read("range-date", "date", "2026-01-01/TO/-1/By/7", "20260101/to/20260228/by/7"),
    _read("range-time", "time", "0/to/18/by/6", "0000/to/1800/by/6"),
    *(
        _wrong(f"range-{key}", key, "aaaa/to/bbbb", "a range 'aaaa/to/bbbb' is not accepted; expected a list")
        for key in ("class", "stream", "type", "expver", "param", "model", "experiment", "activity")
    ),
    _wrong("range-timespan", "timespan", "1h/to/2h", "a range", "expected a single value"),
    _wrong("range-by-0", "step", "0/to/24/by/0", "the number after 'by' must be greater than 0"),
    _wrong("range-without-end", "step", "0/to", "is not a range; expected a/to/b or a/to/b/by/n"),
    _wrong("range-end-wrong", "step", "0/to/x", "where a and b are hours (12)"),
    _wrong("range-too-long", "step", "0/to/100000", "describes 100001 values; at most 100000 are accepted"),
    # Lists: class, stream, type, expver, param, number, date, step, time
    *(
        _read(f"list-{key}", key, value, given)
        for key, value, given in (
            ("class", "od/rd", "od/rd"),
            ("stream", ["oper", "enfo"], "oper/enfo"),
            ("type", "fc/pf", "fc/pf"),
            ("expver", [1, "hplp"], "0001/hplp"),
            ("param", ["2t", 151], "2t/151"),
            ("number", "1/02/3", "1/2/3"),
            ("date", [20260101, "2026-01-02", -1], "20260101/20260102/20260228"),
            ("step", [0, "6h", "0-24"], "0/6/0-24"),
            ("time", ["00:00", 12], "0000/1200"),
        )
    ),
    # Of this server: lists of these, too, as the earlier one passed them on.
    *(
        _read(f"list-{key}", key, ["A", "B"], "a/b", sections="")
        for key in ("model", "experiment", "activity")
    ),
    _wrong("list-timespan", "timespan", "1h/2h", "a list ['1h', '2h'] is not accepted"),
    _wrong("list-empty", "step", [], "a list of 0 values is not accepted"),
    _wrong("list-with-null", "step", [0, None], "None is not accepted"),
    _wrong("list-twice", "step", [6, "6h"], "'6h' is in the list twice; give each value once"),
    _wrong("list-twice-as-dates", "date", "20260228/-1", "'-1' is in the list twice"),
    # MARS would take both for the same.
    _wrong("list-twice-in-two-cases", "type", "fc/FC", "'FC' is in the list twice"),
    _wrong("list-twice-in-two-cases-of-models", "model", ["IFS", "ifs"], "'ifs' is in the list twice"),
    _read("list-in-two-cases-of-versions", "expver", ["hplp", "HPLP"], "hplp/HPLP"),
    _wrong("list-twice-as-text", "param", "2t/msl/2t", "'2t' is in the list twice"),
    _wrong("list-too-long", "step", MANY, "a list of 100001 values is not accepted", sections=ROOM),
    # The lists of the configuration are added to the built-in ones
    _read("configured-range", "month", "1/to/12", "1/to/12", sections=MORE),
    _read("configured-list", "origin", "ecmf/kwbc", "ecmf/kwbc", sections=MORE),
    _wrong("configured-list-is-read", "origin", "ecmf/ecmf", "is in the list twice", sections=MORE),
    _read("configured-besides-the-built-in", "step", "0/to/6", "0/to/6", sections=MORE),
    # All errors in one message
    refused(
        "13.3-all-errors",
        OPEN,
        {"step": ["x", "y"], "number": 0, "time": "06:30", "model": "IFS"},
        "key 'step': 'x' is not accepted",
        "\nkey 'step': 'y' is not accepted",
        "\nkey 'number': 0 is not accepted",
        "\nkey 'time': '06:30' is not accepted",
    ),
    # Other keys: lists of texts, which are then joined; the rest as it is
    _read("other-list", "levelist", [500, 1000.0], "500/1000"),
    _read("other-text", "grid", "O320", "O320"),
    _read("other-number", "accuracy", 16, 16),
    _read("other-fraction", "resolution", 0.25, 0.25),
    _read("other-true", "flag", True, True),
    _read("other-null", "nothing", None, None),
    _read("other-object", "nested", {"A": [1, {"b": None}]}, {"A": [1, {"b": None}]}),
    _read("other-in-capitals", "georef", "U1516B", "U1516B"),
    # Of this server: no value can add a key to a request of MARS, and none has no end.
    _wrong("other-with-a-comma", "levelist", "500,target=x", "contains ','"),
    _wrong("other-with-a-quote", "grid", "O320'", 'contains "\'"'),
    _wrong("other-too-long", "levelist", "1/to/1000000", "at most 100000 are accepted"),
    _wrong("other-empty-list", "levelist", [], "an empty list is not accepted"),
    # Of this server: keys count in either case, and only once. Earlier ones took `Class` for another key, so
    # that rules for `class` did not see it, and MARS did.
    taken("13.3-keys-in-either-case", OPEN, {"CLASS": "od", "Step": 0}, {"class": "od", "step": "0"}),
    refused("13.3-keys-in-two-cases", OPEN, {"step": 0, "Step": 6}, "key 'step' is given twice"),
    refused("13.3-key-twice", OPEN, Json('{"step": 0, "step": 6}'), "key 'step' is given twice"),
    refused("13.3-key-with-a-space", OPEN, {"a b": 0}, "key 'a b' is not accepted; expected letters"),
)
