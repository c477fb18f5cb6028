"""How many connections a process takes, from whom, and which ones it ends."""

from __future__ import annotations

import logging
import resource

import pytest

from polytope_server.http.connections import ConnectionLimits, Connections, Pace, connection_limits
from polytope_server.settings.connections import ConnectionsSettings
from polytope_server.settings.networks import Networks

LIMITS = ConnectionLimits(total=5, per_address=2)


class Waiting:
    """A connection that is ended for a reason when it is looked at; empty for none."""

    def __init__(self, reason: str = "") -> None:
        self.reason = reason
        self.is_cut = False

    def fault(self, now: float) -> str:
        return self.reason

    def cut(self) -> None:
        self.is_cut = True


def admitted(connections: Connections, *addresses: str) -> list[bool]:
    return [connections.admit(Waiting(), address) for address in addresses]


def test_an_address_has_its_share_and_leaves_the_rest_to_others() -> None:
    connections = Connections(LIMITS)
    assert admitted(connections, *["192.0.2.1"] * 3, "192.0.2.2") == [True, True, False, True]


def test_all_together_have_no_more_than_the_process() -> None:
    connections = Connections(LIMITS)
    assert admitted(connections, *(f"192.0.2.{number}" for number in range(6))) == [True] * 5 + [False]


def test_a_network_of_version_6_is_one_address() -> None:
    connections = Connections(LIMITS)
    assert admitted(connections, "2001:db8::1", "2001:db8::2", "2001:db8::3") == [True, True, False]
    assert admitted(connections, "2001:db8:0:1::1", "::ffff:192.0.2.1") == [True, True]


def test_what_has_ended_makes_room() -> None:
    connections = Connections(LIMITS)
    first = Waiting()
    assert connections.admit(first, "192.0.2.1")
    assert admitted(connections, "192.0.2.1", "192.0.2.1") == [True, False]
    connections.leave(first)
    assert admitted(connections, "192.0.2.1") == [True]


def test_a_proxy_may_have_all() -> None:
    connections = Connections(LIMITS, Networks(["10.0.0.0/8"]))
    assert admitted(connections, *["10.1.2.3"] * 6) == [True] * 5 + [False]


def test_who_makes_the_server_wait_is_cut_and_counted() -> None:
    connections = Connections(LIMITS)
    reasons: list[str] = []
    connections.on_cut = reasons.append
    slow, idle = Waiting("head"), Waiting()
    for connection in (slow, idle):
        connections.admit(connection, "192.0.2.1")
    admitted(connections, "192.0.2.1")
    connections.look(0.0)
    assert (slow.is_cut, idle.is_cut, reasons) == (True, False, ["address", "head"])


def test_the_log_has_a_line_in_ten_seconds_however_many_are_cut(caplog: pytest.LogCaptureFixture) -> None:
    connections = Connections(LIMITS)
    with caplog.at_level(logging.WARNING):
        for second in range(30):
            for _ in range(100):
                admitted(connections, "192.0.2.1")
            connections.look(float(second))
    assert len(caplog.records) == 3
    assert "98 because there are as many from one address as it may have" in caplog.records[0].getMessage()


def settings(**keys: object) -> ConnectionsSettings:
    return ConnectionsSettings.model_validate({name.replace("_", "-"): value for name, value in keys.items()})


@pytest.mark.parametrize(
    ("descriptors", "total", "share"), [(1024, 512, 128), (4096, 3072, 768), (65536, 16384, 4096), (1, 1, 1)]
)
def test_descriptors_are_kept_for_the_stores(descriptors: int, total: int, share: int) -> None:
    limits = connection_limits(settings(), descriptors)
    assert (limits.total, limits.per_address) == (total, share)


def test_more_than_the_descriptors_allow_is_not_promised(caplog: pytest.LogCaptureFixture) -> None:
    limits = connection_limits(settings(total=5000, per_address=4000), 1024)
    assert (limits.total, limits.per_address) == (512, 512)
    assert "connections.total is 5000: the 1024 file descriptors of this process allow 512" in caplog.text


def test_the_limits_are_those_of_this_process() -> None:
    assert connection_limits().total <= resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def judge(pace: Pace, *looks: tuple[float, bool, int]) -> list[bool]:
    return [pace.is_too_slow(now, waiting, lambda count=count: count) for now, waiting, count in looks]  # type: ignore[misc]


def test_what_stalls_is_too_slow_after_the_time() -> None:
    assert judge(Pace(LIMITS), (0, True, 0), (59, True, 1), (60, True, 1)) == [False, False, True]


def test_the_least_rate_is_enough() -> None:
    looks = [(second, True, second * 1000) for second in range(0, 300, 5)]
    assert not any(judge(Pace(LIMITS), *looks))


def test_a_byte_a_minute_is_too_slow() -> None:
    looks = [(second, True, second // 60) for second in range(0, 300, 5)]
    assert any(judge(Pace(LIMITS), *looks))


def test_what_the_server_takes_its_time_for_does_not_count() -> None:
    looks = [(second, second % 20 > 0, 0) for second in range(0, 300, 5)]
    assert not any(judge(Pace(LIMITS), *looks))


def test_no_rate_means_no_end() -> None:
    looks = [(second, True, 0) for second in range(0, 3000, 5)]
    assert not any(judge(Pace(ConnectionLimits(5, 2, least_rate=0)), *looks))
