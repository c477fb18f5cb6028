"""A flood of guesses against a whole server with hashed passwords: right credentials get in meanwhile."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Iterator

import aiohttp
import argon2
import pytest

from testbed.server import StandaloneServer, basic

pytestmark = pytest.mark.unmeasured

USERS = ("alice", "bob", "carol", "dave", "erin")
ATTACKER, OTHER = "192.0.2.1", "198.51.100.7"
CONNECTIONS = 25


@pytest.fixture(scope="module")
def hashed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandaloneServer]:
    # Cheaper than by default, for the sake of the other tests on this machine.
    hasher = argon2.PasswordHasher(time_cost=4, memory_cost=16 << 10, parallelism=1)
    users = [{"uid": name, "password": hasher.hash(f"{name}'s password")} for name in USERS]
    config = {
        # Each address of this test is one of X-Forwarded-For.
        "frontend": {"proxy_support": True},
        # No user is let in because of an earlier log-in.
        "authentication": {"cache": 0, "test": {"authenticators": {"p": {"type": "plain", "users": users}}}},
    }
    server = StandaloneServer(tmp_path_factory.mktemp("flood") / "data", config)
    server.start()
    yield server
    # On SIGTERM, it would check all guesses that wait.
    server.kill()


class Flood:
    """Guesses passwords of alice, dave and nobody on many connections at a time, from one address."""

    def __init__(self, server: StandaloneServer) -> None:
        self.server = server
        self.answers: Counter[tuple[int, bool]] = Counter()
        self._number = itertools.count()

    async def log_in(
        self, session: aiohttp.ClientSession, name: str, password: str, address: str
    ) -> aiohttp.ClientResponse:
        headers = {**basic(name, password), "X-Forwarded-For": address}
        async with session.get(f"{self.server.url}/collections", headers=headers) as answer:
            await answer.read()
            return answer

    async def guess(self, session: aiohttp.ClientSession) -> None:
        while True:
            number = next(self._number)
            name = f"nobody{number}" if number % 10 == 9 else ("alice", "dave")[number % 2]
            answer = await self.log_in(session, name, f"guess {number}", ATTACKER)
            self.answers[answer.status, "Retry-After" in answer.headers] += 1


async def test_right_credentials_get_in_while_others_are_guessed(hashed: StandaloneServer) -> None:
    flood = Flood(hashed)
    meanwhile: dict[tuple[str, str], int] = {}

    async def right(session: aiohttp.ClientSession, name: str, address: str) -> None:
        before = flood.answers.total()
        answer = await flood.log_in(session, name, f"{name}'s password", address)
        meanwhile[name, address] = flood.answers.total() - before
        assert answer.status == 200, (name, address)

    connector = aiohttp.TCPConnector(limit=0)
    async with asyncio.timeout(60), aiohttp.ClientSession(connector=connector) as session:
        # The only one who was there before.
        await right(session, "alice", OTHER)
        guessing = [asyncio.ensure_future(flood.guess(session)) for _ in range(CONNECTIONS)]
        while not flood.answers[429, True]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        # A user whose name is guessed, now and then; a user whose name is not guessed; and the first log-in
        # of a user whose name is guessed, and of one from the same address.
        calls = [("alice", ATTACKER), ("alice", OTHER), ("bob", OTHER), ("dave", OTHER), ("carol", ATTACKER)]
        await asyncio.gather(*(right(session, *call) for call in calls))
        for task in guessing:
            task.cancel()
        await asyncio.gather(*guessing, return_exceptions=True)
    assert set(flood.answers) == {(401, False), (429, True)}
    # Nearly all of the flood waits all the time: in order of arrival all of it would be answered before.
    for call in [("alice", ATTACKER), ("alice", OTHER), ("bob", OTHER)]:
        assert meanwhile[call] < CONNECTIONS / 2, meanwhile
