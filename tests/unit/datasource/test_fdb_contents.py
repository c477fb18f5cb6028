"""How the values that an FDB has are named: short, in order, and completely counted."""

from __future__ import annotations

from typing import Any

import pytest

from polytope_server.datasource.fdb import contents


class FDB:
    def __init__(self, **axes: list[str]) -> None:
        self._axes = axes
        self.asked: list[Any] = []

    def axes(self, fixed: Any, level: int) -> dict[str, list[str]]:
        self.asked.append(fixed)
        return self._axes if level == 3 else {key: self._axes[key] for key in self._axes if key == "date"}


@pytest.mark.parametrize(
    ("key", "values", "named"),
    [
        ("step", ["6", "0", "12", "18", "24"], ["0/to/24/by/6"]),
        ("step", ["0", "1", "2", "3", "6", "9", "12"], ["0/to/3/by/1", "6", "9", "12"]),
        ("step", ["0", "6", "12"], ["0", "6", "12"]),
        ("step", ["0-6", "6-12", "12-18", "18-24"], ["0-6", "12-18", "18-24", "6-12"]),
        ("number", ["7"], ["7"]),
        ("date", ["20240228", "20240229", "20240301", "20240302"], ["20240228/to/20240302/by/1"]),
        ("date", ["99999999", "20240101"], ["20240101", "99999999"]),
        ("param", ["130", "131", "132", "133", "9"], ["130", "131", "132", "133", "9"]),
    ],
)
def test_values_are_named_in_order_and_equal_distances_as_a_range(
    key: str, values: list[str], named: list[str]
) -> None:
    answer = contents.answer(FDB(**{key: values}), {})
    assert answer.value == {key: {"count": len(values), "values": named}}
    assert answer.seconds > 0


def test_a_key_without_values_is_left_out_and_many_are_counted_only() -> None:
    found = contents.answer(FDB(levelist=["", ""], param=[str(number) for number in range(200)]), {}).value
    assert list(found) == ["param"]
    assert (found["param"]["count"], len(found["param"]["values"])) == (200, 50)


def test_only_the_newest_dates_are_looked_into_and_all_are_counted() -> None:
    dates = [f"202401{day:02}" for day in range(1, 32)]
    fdb = FDB(date=dates, step=["0"])
    found = contents.answer(fdb, {"class": ["od"]}).value
    assert fdb.asked == [{"class": ["od"]}, {"class": ["od"], "date": dates[-10:]}]
    assert found["date"] == {"count": 31, "values": ["20240101/to/20240131/by/1"]}
