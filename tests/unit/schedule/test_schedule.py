"""Which requests a schedule of releases holds back, and until when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from polytope_server.language import coerce
from polytope_server.schedule import Schedule
from polytope_server.schedule.reading import read_schedule

FILE = b"""<?xml version="1.0"?>
<schedule>
  <product>
    <class>od</class><stream>oper</stream><domain>g</domain><time>00:00</time><step>0000</step>
    <type>an</type><release_time>05:40:00</release_time><release_delta_day>0</release_delta_day>
  </product>
  <product>
    <class>od</class><stream>oper</stream><domain>g</domain><time>00:00</time><diss_step>0000</diss_step>
    <diss_type>fc</diss_type><release_time>05:45:00</release_time>
  </product>
  <product>
    <class>od</class><stream>oper</stream><time>00:00</time><step>120</step>
    <type>fc</type><release_time>06:30:00</release_time>
  </product>
  <product>
    <class>od</class><stream>oper</stream><time>00:00</time><step>240</step>
    <type>fc</type><release_time>06:55:30</release_time>
  </product>
  <product>
    <class>od</class><stream>oper</stream><time>18:00</time><step>0</step>
    <type>fc</type><release_time>00:45:00</release_time><release_delta_day>1</release_delta_day>
  </product>
  <mars_only>
    <product>
      <class>od</class><stream>enfo/waef</stream><diss_domain>g/m</diss_domain><time>00:00</time>
      <type>cf/pf</type><release_time>08:00:00</release_time>
    </product>
  </mars_only>
  <product><stream>dissemination only</stream></product>
</schedule>
"""
SCHEDULE = read_schedule(FILE)
DAY = datetime(2026, 3, 1, tzinfo=UTC)
FORECAST = {"class": "od", "stream": "oper", "type": "fc", "date": "20260301", "time": "00", "step": "0"}
ENSEMBLE = {**FORECAST, "stream": "enfo", "type": "pf"}


def held(request: dict[str, Any], now: datetime) -> str | None:
    given = {key: value for key, value in request.items() if value is not None}
    return SCHEDULE.embargo(coerce(given, today=DAY.date()), now)


def at(text: str, days: int = 0) -> datetime:
    return datetime.fromisoformat(f"2026-03-01T{text}+00:00") + timedelta(days=days)


@pytest.mark.parametrize(
    ("change", "release"),
    [
        ({}, at("05:45:00")),
        ({"type": "an"}, at("05:40:00")),
        ({"step": None, "type": "an"}, at("05:40:00")),
        ({"step": "119"}, at("05:45:00")),
        ({"step": "120"}, at("06:30:00")),
        ({"step": "239h59m"}, at("06:30:00")),
        ({"step": "240"}, at("06:55:30")),
        ({"step": "360"}, at("06:55:30")),
        # Lists and ranges count by their greatest step, and none of them by its characters.
        ({"step": "0/to/120/by/6"}, at("06:30:00")),
        ({"step": "0/to/119/by/6"}, at("05:45:00")),
        ({"step": "120/to/0/by/6"}, at("06:30:00")),
        ({"step": [0, 6, 240]}, at("06:55:30")),
        ({"step": "0-24"}, at("05:45:00")),
        ({"step": "0-120"}, at("06:30:00")),
        ({"step": "0-24/to/96-120"}, at("06:30:00")),
        ({"step": "0-24/to/72-96"}, at("05:45:00")),
        ({"step": "10d"}, at("06:55:30")),
        # Without a step or time all of them are asked for.
        ({"step": None}, at("06:55:30")),
        ({"time": None}, at("00:45:00", days=1)),
        ({"time": ["00", "18"]}, at("00:45:00", days=1)),
        ({"time": "18:00"}, at("00:45:00", days=1)),
        # The latest date.
        ({"date": ["20260301", "20260228"]}, at("05:45:00")),
        ({"date": "20260220/to/20260301"}, at("05:45:00")),
        ({"date": "2026-03-02"}, at("05:45:00", days=1)),
        ({"date": "0"}, at("05:45:00")),
        ({"date": "-1"}, at("05:45:00", days=-1)),
        # Values of lists, each of which must be released.
        ({"type": ["an", "fc"]}, at("05:45:00")),
        ({"class": "OD", "stream": "Oper", "type": "FC"}, at("05:45:00")),
        ({"domain": "g"}, at("05:45:00")),
        ({"stream": "enfo", "type": "pf"}, at("08:00:00")),
        ({"stream": "waef", "type": ["cf", "pf"], "domain": "m", "step": "0/to/360"}, at("08:00:00")),
    ],
)
def test_data_are_released_at_a_moment_and_not_a_second_before(change: Any, release: datetime) -> None:
    request = {**FORECAST, **change}
    reason = held(request, release - timedelta(seconds=1))
    assert reason is not None
    assert f"is not released before {release:%Y-%m-%d %H:%M:%S} UTC" in reason
    assert held(request, release) is None
    # Whatever the zone of the clock is
    zone = timezone(timedelta(hours=9))
    assert held(request, release.astimezone(zone)) is None
    assert held(request, (release - timedelta(seconds=1)).astimezone(zone)) is not None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"class": "ai"}, "is not in the schedule of releases"),
        # Exact values: parts of names are not enough.
        ({"stream": "ope"}, "stream 'ope'"),
        ({"stream": "enfo", "type": "p"}, "type 'p'"),
        ({"stream": "oper/enfo"}, "stream 'enfo', domain 'g', type 'fc', time '0000' is not in the schedule"),
        ({"type": "fc/pf"}, "type 'pf'"),
        ({"stream": "enfo", "type": "pf", "domain": "s"}, "domain 's'"),
        ({"time": "06"}, "time '0600' is not in the schedule of releases at step 0"),
        ({"stream": "no", "time": None}, "stream 'no'"),
        ({"class": None}, "request does not contain key 'class', by which the schedule"),
        ({"date": None, "type": None}, "does not contain key 'type' and 'date'"),
    ],
)
def test_what_is_in_no_product_is_held_back_for_ever(change: Any, reason: str) -> None:
    said = held({**FORECAST, **change}, at("00:00:00", days=9999))
    assert said is not None
    assert reason in said


def test_a_step_before_all_products_is_not_released() -> None:
    text = FILE.replace(b"<diss_step>0000</diss_step>", b"<diss_step>0006</diss_step>")
    schedule = read_schedule(text)
    late = at("00:00:00", days=99)
    assert "is not in the schedule" in (schedule.embargo(coerce({**FORECAST, "step": "0/6"}), late) or "")
    assert schedule.embargo(coerce({**FORECAST, "step": "6/to/12"}), late) is None


def test_of_products_for_the_same_the_latest_counts() -> None:
    text = FILE.replace(b"<step>120</step>", b"<step>0</step>")
    assert read_schedule(text).embargo(coerce({**FORECAST, "step": 3}), at("06:29:59")) is not None


def test_dates_at_the_end_of_the_calendar_are_held_back() -> None:
    assert held({**FORECAST, "date": "99991231", "time": "18"}, at("00:00:00")) is not None


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (b"<schedule>", b"<schedule", "is not XML"),
        (b"05:40:00", b"25:40:00", "product 1: release_time '25:40:00' is not a time of day"),
        (b"<release_time>05:40:00</release_time>", b"", "product 1: release_time '' is not a time of day"),
        (b">120<", b">12x<", "product 3: step '12x' is not a number of hours"),
        (b">18:00<", b">1830<", "product 5: time '1830' is not an hour of the day"),
        (b"day>1<", b"day>-1<", "product 5: release_delta_day '-1' is not a number of days"),
        (b"product>", b"thing>", "has no <product>"),
        (
            b'<?xml version="1.0"?>',
            b'<!DOCTYPE s [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>',
            "has entities",
        ),
    ],
)
def test_a_broken_schedule_is_refused_with_the_place(old: bytes, new: bytes, sentence: str) -> None:
    assert old in FILE
    with pytest.raises(ValueError, match=r"(is|has)") as refused:
        read_schedule(FILE.replace(old, new))
    assert sentence in str(refused.value)


def test_a_hostile_request_costs_no_more_than_the_schedule_has() -> None:
    # Given 99,999 streams, of which the first is not in it, and as many steps
    many = {**FORECAST, "stream": [f"s{n}" for n in range(20_000)], "type": [f"t{n}" for n in range(20_000)]}
    reason = held({**many, "step": "0/to/99999"}, at("00:00:00"))
    assert reason is not None
    assert "stream 's0'" in reason


def test_a_schedule_counts_its_products() -> None:
    # The last one names no class, and the one for two streams counts twice
    assert len(SCHEDULE) == 7
    assert not len(Schedule([]))
