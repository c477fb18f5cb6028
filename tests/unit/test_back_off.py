"""The pauses between attempts double up to a limit, and begin again after a success."""

from __future__ import annotations

import pytest

from polytope_server.back_off import BackOff, exponential


def test_each_pause_is_twice_the_one_before_up_to_the_longest() -> None:
    back_off = BackOff(0.5, 3.0)
    assert [back_off.failed() for _ in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]


def test_after_a_success_the_first_pause_comes_again() -> None:
    back_off = BackOff(1.0, 60.0)
    back_off.failed()
    back_off.failed()
    assert back_off.failures == 2
    back_off.succeeded()
    assert back_off.failures == 0
    assert back_off.failed() == 1.0


@pytest.mark.parametrize(("failures", "pause"), [(1, 0.1), (3, 0.4), (10, 2.0), (100_000, 2.0)])
def test_the_pause_follows_from_the_number_of_failures(failures: int, pause: float) -> None:
    assert exponential(0.1, 2.0, failures) == pytest.approx(pause)


def test_no_number_of_failures_overflows() -> None:
    assert exponential(1.0, 60.0, 10**9) == 60.0
