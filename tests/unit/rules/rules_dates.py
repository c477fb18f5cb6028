"""Section 13.2, rules for dates. It is half past ten (UTC) on the first of March 2026."""

from datetime import UTC, datetime, timedelta
from typing import Any

from rules_rows import Row, invalid, refused, taken

MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC)


def _served(name: str, rules: str, date: Any, given: str, **keys: Any) -> Row:
    return taken(name, f"match: {{date: {rules}}}", {"date": date}, {"date": given}, **keys)


def _held(name: str, rules: str, date: Any, *words: str, **keys: Any) -> Row:
    return refused(name, f"match: {{date: {rules}}}", {"date": date}, "key 'date' : ", *words, **keys)


OLDER = '">30d"'
JANUARY = "20260101/to/20260131"

DATES: tuple[Row, ...] = (
    # Comparisons: >N is older than now - N, <N is newer. A date is its midnight.
    _served("13.2-older", OLDER, "20260130", "20260130"),
    _held(
        "13.2-not-older", OLDER, "20260131", "'20260131' is not older than 2026-01-30 10:30 UTC (rule '>30d')"
    ),
    _served("13.2-newer", '"<30d"', "20260131", "20260131"),
    _held("13.2-not-newer", '"<30d"', "20260130", "'20260130' is not newer than 2026-01-30 10:30 UTC"),
    # At the limit itself a date is the newer: the two rules leave no gap between them, and share no date.
    _held("13.2-at-the-limit-not-older", OLDER, "20260130", "not older", now=MIDNIGHT),
    _served("13.2-at-the-limit-newer", '"<30d"', "20260130", "20260130", now=MIDNIGHT),
    # Units
    _served("13.2-hours", '">10h"', "20260301", "20260301"),
    _held("13.2-hours-short-of-it", '">11h"', "20260301", "2026-02-28 23:30 UTC"),
    _served("13.2-minutes", '">629m"', "20260301", "20260301"),
    _held("13.2-minutes-short-of-it", '">631m"', "20260301", "2026-02-28 23:59 UTC"),
    _served("13.2-units-together", '">1d10h29m"', "20260228", "20260228"),
    _held("13.2-units-together-short-of-it", '">1d10h31m"', "20260228", "2026-02-27 23:59 UTC"),
    _served("13.2-units-in-capitals-and-apart", '"> 1D 10H"', "20260228", "20260228"),
    invalid("13.2-unit-of-another-kind", 'match: {date: ">1w"}', "match.date", "is not a comparison"),
    invalid("13.2-no-unit", 'match: {date: ">5"}', "expected > or < and days, hours, minutes: >1d12h"),
    # Every rule must hold
    _served("13.2-between", '[">30d", "<40d"]', "20260125", "20260125"),
    _held("13.2-between-too-old", '[">30d", "<40d"]', "20260115", "is not newer", "(rule '<40d')"),
    _held("13.2-between-too-new", '[">30d", "<40d"]', "20260215", "is not older", "(rule '>30d')"),
    # Both ends of a range, with and without by, and each of a list
    _served("13.2-range-older", OLDER, "20260101/to/20260130", "20260101/to/20260130"),
    _held("13.2-range-end-too-new", OLDER, "20260101/to/20260131", "'20260131' is not older"),
    _held("13.2-range-start-too-old", '"<30d"', "20260101/to/20260228", "'20260101' is not newer"),
    _held("13.2-range-by-end-too-new", OLDER, "20260101/to/20260228/by/1", "'20260131' is not older"),
    # The last date of the range counts, which need not be its end.
    _served("13.2-range-by-end-not-met", OLDER, "20260101/to/20260131/by/29", "20260101/to/20260131/by/29"),
    _served("13.2-range-relative", OLDER, "-60/to/-31", "20251231/to/20260129"),
    _held("13.2-range-relative-too-new", OLDER, "-60/to/-1", "'20260131' is not older"),
    _held("13.2-range-downwards", OLDER, "-1/to/-60", "is not older"),
    _served("13.2-list-older", OLDER, ["20260101", "2026-01-30"], "20260101/20260130"),
    _held("13.2-list-one-too-new", OLDER, ["20260101", "20260215"], "'20260215' is not older"),
    _held("13.2-list-as-text", OLDER, "20260101/20260215", "'20260215' is not older"),
    # As MARS has dates: one, a list, a range; YYYYMMDD, ISO, relative to today
    _served("13.2-mars-date", "20260101", "20260101", "20260101"),
    _held("13.2-mars-other-date", "20260101", "20260102", "'20260102' not in ['20260101']"),
    _served("13.2-mars-iso", "2026-01-01", "20260101", "20260101"),
    _served("13.2-mars-relative", "[0, -1]", "2026-02-28", "20260228"),
    _held("13.2-mars-other-relative", "[0, -1]", -2, "'20260227' not in ['0', '-1']"),
    _served("13.2-mars-list-in-one-text", "20260101/20260103", "20260103", "20260103"),
    _served("13.2-mars-range", JANUARY, "20260131", "20260131"),
    _held("13.2-mars-beyond-the-range", JANUARY, "20260201", f"'20260201' not in ['{JANUARY}']"),
    _served("13.2-mars-range-relative", "-5/to/0", 0, "20260301"),
    _held("13.2-mars-beyond-the-relative-range", "-5/to/0", -6, "'20260223' not in ['-5/to/0']"),
    _served("13.2-mars-range-iso-to-relative", "2026-01-01/to/-1", "20260228", "20260228"),
    _held("13.2-mars-beyond-iso-to-relative", "2026-01-01/to/-1", 0, "'20260301' not in"),
    # Any rule may cover each date
    _served("13.2-mars-any-rule", f"[{JANUARY}, -1]", ["20260105", "20260228"], "20260105/20260228"),
    _held("13.2-mars-no-rule", f"[{JANUARY}, -1]", ["20260105", "20260227"], "'20260227' not in"),
    # Lists of dates always failed on the earlier server.
    _served("13.2-mars-list-of-dates", JANUARY, ["20260105", "20260107"], "20260105/20260107"),
    # A requested range lies within a rule
    _served("13.2-mars-range-in-range", JANUARY, "20260105/to/20260131", "20260105/to/20260131"),
    _held("13.2-mars-range-beyond-range", JANUARY, "20260105/to/20260201", "'20260201' not in"),
    _held("13.2-mars-range-before-range", JANUARY, "20251231/to/20260105", "'20251231' not in"),
    _served("13.2-mars-range-by-in-range", JANUARY, "20260105/to/20260131/by/7", "20260105/to/20260131/by/7"),
    # Of this server: rules that meet count as one, and a range need not be in one of them.
    _served(
        "13.2-mars-range-over-two-rules",
        "[20260101/to/20260110, 20260111/to/20260120]",
        "20260105/to/20260115",
        "20260105/to/20260115",
    ),
    _held(
        "13.2-mars-range-over-a-gap",
        "[20260101/to/20260110, 20260112/to/20260120]",
        "20260105/to/20260115",
        "'20260111' not in",
    ),
    _served(
        "13.2-mars-range-of-listed-dates",
        "20260101/20260102/20260103",
        "20260101/to/20260103",
        "20260101/to/20260103",
    ),
    # Wrong rules
    invalid(
        "13.2-by-in-a-rule",
        "match: {date: 20260101/to/20260110/by/2}",
        "match.date",
        "is not accepted; expected a date, a/b/c, or a/to/b without by",
    ),
    invalid(
        "13.2-both-styles",
        'match: {date: [">1d", 20260101]}',
        "datasources[0].match.date",
        "mix comparisons (>30d) with dates; use one style",
    ),
    invalid("13.2-no-such-date", "match: {date: 20260230}", "date rule '20260230' is not accepted"),
    invalid("13.2-not-yet", "match: {date: 1}", "date rule '1' is not accepted"),
    # Today is the day in UTC
    _served("13.2-today-at-midnight", "0", 0, "20260302", now=MIDNIGHT + timedelta(days=1)),
    _held("13.2-yesterday-at-midnight", "0", "20260301", "not in ['0']", now=MIDNIGHT + timedelta(days=1)),
)
