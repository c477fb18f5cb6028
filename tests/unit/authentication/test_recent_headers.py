"""What a process remembers of Authorization headers."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from polytope_server.authentication.identification import Identification, UnauthenticatedError
from polytope_server.authentication.recent_headers import RefusedHeaders, VerifiedHeader, VerifiedHeaders
from polytope_server.user import User


@dataclass
class Clock:
    now: float = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def verified(clock: Clock, name: str, realm: str = "r", seconds: float = 60.0) -> VerifiedHeader:
    identification = Identification(User(name, realm), "Basic")
    return VerifiedHeader(identification, clock.now + seconds, f"digest of {name}")


class TestVerifiedHeaders:
    @pytest.fixture
    def headers(self, clock: Clock) -> VerifiedHeaders:
        return VerifiedHeaders(clock)

    def test_a_header_counts_until_its_time(self, headers: VerifiedHeaders, clock: Clock) -> None:
        header = verified(clock, "alice", seconds=10.0)
        headers.add(b"a", header)
        clock.now += 9.9
        assert headers.get(b"a") is header
        clock.now += 0.1
        assert headers.get(b"a") is None

    def test_a_header_whose_time_is_over_does_not_count(self, headers: VerifiedHeaders, clock: Clock) -> None:
        headers.add(b"a", verified(clock, "alice", seconds=0.0))
        assert headers.get(b"a") is None

    def test_all_headers_of_a_user_are_removed_and_no_others(
        self, headers: VerifiedHeaders, clock: Clock
    ) -> None:
        for key, name, realm in ((b"1", "alice", "r"), (b"2", "alice", "r"), (b"3", "alice", "s")):
            headers.add(key, verified(clock, name, realm))
        headers.add(b"4", verified(clock, "bob"))
        assert headers.remove_user("alice", "r") == ["digest of alice"] * 2
        assert [key for key in (b"1", b"2", b"3", b"4") if headers.get(key)] == [b"3", b"4"]

    def test_an_unknown_header_may_be_removed(self, headers: VerifiedHeaders) -> None:
        headers.remove(b"unknown")

    def test_all_are_forgotten(self, headers: VerifiedHeaders, clock: Clock) -> None:
        headers.add(b"a", verified(clock, "alice"))
        headers.clear()
        assert headers.get(b"a") is None


class TestRefusedHeaders:
    REFUSAL = UnauthenticatedError("Invalid credentials", ['Basic realm="r"'], 7)

    @pytest.fixture
    def headers(self, clock: Clock) -> RefusedHeaders:
        headers = RefusedHeaders(clock)
        headers.add(b"a", self.REFUSAL)
        return headers

    def test_a_refusal_is_repeated_as_it_was(self, headers: RefusedHeaders) -> None:
        found = headers.get(b"a")
        assert found is not None
        assert str(found) == "Invalid credentials"
        assert (found.challenges, found.retry_after) == (['Basic realm="r"'], 7)
        assert headers.get(b"b") is None

    def test_each_one_is_raised_once(self, headers: RefusedHeaders) -> None:
        """One that was raised holds the frames of its call, and what they hold."""
        found = headers.get(b"a")
        assert found is not None
        with pytest.raises(UnauthenticatedError):
            raise found
        again = headers.get(b"a")
        assert again is not None
        assert again.__traceback__ is None

    def test_it_is_forgotten_after_a_second(self, headers: RefusedHeaders, clock: Clock) -> None:
        clock.now += 0.9
        assert headers.get(b"a") is not None
        clock.now += 0.2
        assert headers.get(b"a") is None

    def test_all_are_forgotten(self, headers: RefusedHeaders) -> None:
        headers.clear()
        assert headers.get(b"a") is None
