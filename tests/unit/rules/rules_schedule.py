"""Section 13.4, releases of data."""

from datetime import UTC, datetime
from typing import Any

from rules_rows import Row, refused, taken

OBEYS = "obey_schedule: true"
SCHEDULE = "schedule: {file: $SCHEDULE}"
#: The file that $SCHEDULE names.
XML = """<schedule>
  <product>
    <class>od</class><stream>oper</stream><domain>g</domain><time>00:00</time><step>0</step>
    <type>fc</type><release_time>05:45:00</release_time><release_delta_day>0</release_delta_day>
  </product>
  <product>
    <class>od</class><stream>oper</stream><time>00:00</time><step>120</step>
    <type>fc</type><release_time>06:30:00</release_time>
  </product>
  <product>
    <class>od</class><stream>oper</stream><time>18:00</time><diss_step>0</diss_step>
    <diss_type>fc</diss_type><release_time>00:45:00</release_time><release_delta_day>1</release_delta_day>
  </product>
  <mars_only><product>
    <class>od</class><stream>enfo</stream><diss_domain>g</diss_domain><time>00:00</time><step>0</step>
    <type>pf</type><release_time>08:00:00</release_time>
  </product></mars_only>
</schedule>"""
FORECAST = {"class": "od", "stream": "oper", "type": "fc", "date": "20260301", "time": "0000", "step": "0"}
LABEL = "class 'od', stream 'oper', domain 'g', type 'fc', time '0000'"
POINT = {
    "type": "timeseries",
    "points": [[38.9, -9.1]],
    "time_axis": "step",
    "range": {"start": 0, "end": 120},
}
PATH = {
    "type": "trajectory",
    "points": [[0, 0, 0], [1, 1, 120]],
    "axes": ["lat", "lon", "step"],
    "inflation": 0,
}
FEATURES = "- {name: a, type: polytope, obey_schedule: true, gribjump_config: {type: local, schema: $SCHEMA}}"
FIELD = {**FORECAST, "expver": "0001", "domain": "g", "levtype": "sfc", "param": "2t"}
del FIELD["step"]


def _at(time: str, day: int = 1) -> datetime:
    return datetime.fromisoformat(f"2026-03-{day:02}T{time}").replace(tzinfo=UTC)


def _released(name: str, now: datetime, change: dict[str, Any], **keys: Any) -> Row:
    asked = {**FORECAST, **change}
    given = {key: "/".join(value) if isinstance(value, list) else value for key, value in asked.items()}
    return taken(f"13.4-{name}", keys.pop("sources", OBEYS), asked, given, sections=SCHEDULE, now=now, **keys)


def _held(name: str, now: datetime, change: dict[str, Any], *words: str, **keys: Any) -> Row:
    asked = {key: value for key, value in {**FORECAST, **change}.items() if value is not None}
    sources = keys.pop("sources", OBEYS)
    return refused(f"13.4-{name}", sources, asked, *words, sections=SCHEDULE, now=now, **keys)


RELEASES: tuple[Row, ...] = (
    # Only data sources that obey it ask the schedule. Of this server: of any type, and not for uploads.
    _released("not-obeyed", _at("00:00:00"), {}, sources="match: {}"),
    _released("not-for-uploads", _at("00:00:00"), {}, verb="archive"),
    _held(
        "obeyed", _at("00:00:00"), {}, f"Skipping datasource a: {LABEL} of 20260301 at step 0 is not released"
    ),
    taken(
        "13.4-the-next-data-source",
        "- {name: a, type: echo, obey_schedule: true}\n- {name: b, type: echo}",
        FORECAST,
        FORECAST,
        by="b",
        sections=SCHEDULE,
        now=_at("00:00:00"),
    ),
    # The moment: date + days + time, in UTC. (Earlier servers took the zone of the machine.)
    _held("before", _at("05:44:59"), {}, "is not released before 2026-03-01 05:45:00 UTC"),
    _released("from-then-on", _at("05:45:00"), {}),
    _held("days-later", _at("00:44:59", 2), {"time": "1800"}, "before 2026-03-02 00:45:00 UTC"),
    _released("days-later-from-then-on", _at("00:45:00", 2), {"time": "1800"}),
    # The latest date
    _held("latest-of-dates", _at("05:44:59"), {"date": ["20260301", "20260228"]}, "of 20260301"),
    _held("latest-of-a-range", _at("05:44:59"), {"date": "20260201/to/20260301"}, "of 20260301"),
    _held("latest-of-a-range-downwards", _at("05:44:59"), {"date": "20260301/to/20260201"}, "of 20260301"),
    _released("earlier-date", _at("05:44:59"), {"date": "20260228"}),
    # The latest time
    _held("latest-of-times", _at("06:00:00"), {"time": ["0000", "1800"]}, "before 2026-03-02 00:45:00 UTC"),
    # Of this server: a request without a time or a step asks for all of them.
    _held("without-time", _at("12:00:00"), {"time": None}, "before 2026-03-02 00:45:00 UTC"),
    _held("without-step", _at("06:00:00"), {"step": None}, "before 2026-03-01 06:30:00 UTC"),
    # The largest step, and the product with the largest step up to it
    _released("step-of-the-product-before", _at("05:45:00"), {"step": "119"}),
    _held(
        "step-of-its-own-product",
        _at("06:29:59"),
        {"step": "120"},
        "step 120 is not released before",
        "06:30:00",
    ),
    _held("step-beyond-all-products", _at("06:29:59"), {"step": "360"}, "06:30:00"),
    _held("largest-of-steps", _at("06:29:59"), {"step": ["120", "0"]}, "06:30:00"),
    # The earlier server took it for step 2, and let it pass.
    _held("largest-of-a-range", _at("06:29:59"), {"step": "0/to/120/by/6"}, "06:30:00"),
    _held("largest-of-a-range-downwards", _at("06:29:59"), {"step": "120/to/0/by/-6"}, "06:30:00"),
    _held("end-of-a-period", _at("06:29:59"), {"step": "96-120"}, "06:30:00"),
    _held("end-of-periods", _at("06:29:59"), {"step": "0-24/to/96-120"}, "06:30:00"),
    _held("days-as-steps", _at("06:29:59"), {"step": "5d"}, "06:30:00"),
    # The end of a feature's range, and the largest step of a trajectory
    refused(
        "13.4-end-of-a-features-range",
        FEATURES,
        {**FIELD, "feature": POINT},
        "at step 120 is not released before",
        sections=SCHEDULE,
        now=_at("06:29:59"),
    ),
    taken(
        "13.4-end-of-a-features-range-released",
        FEATURES,
        {**FIELD, "feature": POINT},
        {**FIELD, "feature": POINT, "step": "0/to/120"},
        sections=SCHEDULE,
        now=_at("06:30:00"),
    ),
    refused(
        "13.4-largest-of-a-trajectory",
        FEATURES,
        {**FIELD, "feature": PATH},
        "at step 120 is not released before",
        sections=SCHEDULE,
        now=_at("06:29:59"),
    ),
    # Each class, stream, domain and type that is asked for, also below <mars_only>
    _held("mars-only", _at("07:59:59"), {"stream": "enfo", "type": "pf"}, "before 2026-03-01 08:00:00 UTC"),
    _released("mars-only-released", _at("08:00:00"), {"stream": "enfo", "type": "pf"}),
    _held(
        "each-type",
        _at("12:00:00"),
        {"type": ["fc", "pf"]},
        "type 'pf'",
        "is not in the schedule of releases",
    ),
    _held("each-stream", _at("12:00:00"), {"stream": "oper/enfo"}, "stream 'enfo', domain 'g', type 'fc'"),
    _held(
        "other-class", _at("12:00:00"), {"class": "rd"}, "class 'rd'", "is not in the schedule of releases"
    ),
    _held(
        "other-domain",
        _at("12:00:00"),
        {"stream": "enfo", "type": "pf", "domain": "m"},
        "domain 'm'",
        "not in the schedule",
    ),
    _held("other-time", _at("12:00:00"), {"time": "0600"}, "time '0600' is not in the schedule of releases"),
    # Of this server: equal values, where a part of the name was enough.
    _held("part-of-a-stream", _at("12:00:00"), {"stream": "ope"}, "stream 'ope'", "not in the schedule"),
    _held("part-of-a-type", _at("12:00:00"), {"type": "f"}, "type 'f'", "not in the schedule"),
    _held("without-class", _at("12:00:00"), {"class": None}, "does not contain key 'class', by which"),
)
