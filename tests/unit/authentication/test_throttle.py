"""Guesses are answered as such; right credentials are never refused for them."""

from __future__ import annotations

import asyncio
import base64
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import argon2
import pytest

from polytope_server.accounts.fair_queue import Reputation
from polytope_server.accounts.passwords import Passwords
from polytope_server.accounts.pool import BoundedPool
from polytope_server.authentication.configuration import create_authentication
from polytope_server.authentication.identification import UnauthenticatedError
from polytope_server.authentication.manager import Authentication
from polytope_server.authentication.methods import Methods
from polytope_server.authentication.plain import PlainAuthenticator, PlainSettings
from polytope_server.authentication.throttle import Attempt, Throttle
from polytope_server.caching.memory import MemoryCache, MemoryCacheSettings
from polytope_server.settings.networks import network_of
from polytope_server.settings.root import Settings

HASHER = argon2.PasswordHasher(1, 8, 1)
USERS = ("alice", "bob", "carol")
Open = Callable[[], Awaitable[Authentication]]


class Clock:
    now = 1_700_000_040.0  # where a window begins

    def __call__(self) -> float:
        return self.now


class Hasher(argon2.PasswordHasher):
    """Notes which passwords were checked, and takes its time."""

    def __init__(self) -> None:
        super().__init__(1, 8, 1)
        self.checked: list[str] = []
        self.seconds = 0.0

    def verify(self, hash: str | bytes, password: str | bytes) -> bool:
        self.checked.append(str(password))
        time.sleep(self.seconds)
        return bool(super().verify(hash, password))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def hasher() -> Hasher:
    return Hasher()


@pytest.fixture
async def open_(tmp_path: Path, clock: Clock, hasher: Hasher) -> AsyncIterator[Open]:
    """Opens a frontend's authentication; all of them share a cache."""
    users = [{"uid": name, "password": HASHER.hash(f"{name}'s password")} for name in USERS]
    passwords = Passwords(hasher, BoundedPool("test", threads=2, limit=1000))
    plain = PlainAuthenticator(
        "r", PlainSettings.model_validate({"users": users}), tmp_path, passwords=passwords
    )
    cache = MemoryCache(MemoryCacheSettings(), tmp_path, clock=clock)
    opened = []

    async def open_() -> Authentication:
        manager = create_authentication(
            Settings(), tmp_path, cache, methods=Methods([plain], {}), clock=clock
        )
        await manager.open()
        opened.append(manager)
        return manager

    yield open_
    for manager in opened:
        await manager.close()


@pytest.fixture
async def manager(open_: Open) -> Authentication:
    return await open_()


def header(name: str, password: str = "") -> str:
    text = f"{name}:{password or name + chr(39) + 's password'}"
    return "Basic " + base64.b64encode(text.encode()).decode()


_number = itertools.count()


async def guess(manager: Authentication, name: str, address: str, times: int) -> list[int | None]:
    """The Retry-After of each of a number of guesses."""
    waits: list[int | None] = []
    for _ in range(times):
        with pytest.raises(UnauthenticatedError) as raised:
            await manager.authenticate(header(name, f"guess {next(_number)}"), address)
        waits.append(raised.value.retry_after)
    return waits


async def test_after_ten_wrong_passwords_of_a_name_further_ones_are_told_to_wait(
    manager: Authentication,
) -> None:
    waits = await guess(manager, "alice", "192.0.2.1", 12)
    assert waits[:10] == [None] * 10
    assert all(seconds is not None and 0 < seconds <= 120 for seconds in waits[10:])
    # From wherever they come, and whether there is such a user or not.
    assert await guess(manager, "alice", "192.0.2.2", 1) != [None]
    assert (await guess(manager, "nobody", "192.0.2.3", 12))[9:] != [None] * 3


async def test_after_fifty_wrong_passwords_from_an_address_further_ones_are_told_to_wait(
    manager: Authentication,
) -> None:
    for number in range(50):
        assert await guess(manager, f"name {number}", "192.0.2.1", 1) == [None]
    assert await guess(manager, "another", "192.0.2.1", 1) != [None]
    assert await guess(manager, "another", "192.0.2.2", 1) == [None]


@pytest.mark.parametrize("name", ["alice", "bob"])
@pytest.mark.parametrize("address", ["192.0.2.1", "192.0.2.2"])
async def test_the_right_one_gets_in_from_anywhere(
    manager: Authentication, hasher: Hasher, name: str, address: str
) -> None:
    await guess(manager, "alice", "192.0.2.1", 60)
    found = await manager.authenticate(header(name), address)
    assert found.user.username == name
    assert hasher.checked[-1] == f"{name}'s password"


async def test_failures_pass(manager: Authentication, clock: Clock) -> None:
    *_, seconds = await guess(manager, "alice", "192.0.2.1", 15)
    assert seconds is not None
    clock.now += seconds
    assert await guess(manager, "alice", "192.0.2.1", 1) == [None]


async def test_failures_at_another_frontend_count(open_: Open) -> None:
    await guess(await open_(), "alice", "192.0.2.1", 11)
    assert await guess(await open_(), "alice", "192.0.2.1", 1) != [None]


async def test_the_same_wrong_password_again_is_one_guess(manager: Authentication, hasher: Hasher) -> None:
    for _ in range(30):
        with pytest.raises(UnauthenticatedError) as raised:
            await manager.authenticate(header("alice", "the same"), "192.0.2.1")
        assert raised.value.retry_after is None
    assert len(hasher.checked) == 1


async def test_guesses_beside_a_right_one_count(manager: Authentication) -> None:
    """A call may carry several credentials; that the last is right must not hide the others."""
    for number in range(11):
        await manager.authenticate(f"{header('alice', f'with {number}')}, {header('bob')}", "192.0.2.1")
    assert await guess(manager, "alice", "192.0.2.2", 1) != [None]


async def test_what_others_write_into_the_cache_makes_nobody_trusted(tmp_path: Path, clock: Clock) -> None:
    cache = MemoryCache(MemoryCacheSettings(), tmp_path, clock=clock)
    attempt = Attempt("d", "192.0.2.1", "alice")

    async def right() -> bool:
        return True

    def throttle() -> Throttle:
        return Throttle(cache, lambda *parts: f"digest of {parts}", clock)

    await cache.set("known:d", True, 60)
    assert (await throttle().flow(attempt)).reputation is Reputation.UNKNOWN
    await throttle().guarded(attempt, right)
    assert (await throttle().flow(attempt)).reputation is Reputation.TRUSTED


async def test_the_answer_to_a_right_one_that_was_right_before_does_not_wait_for_guesses(
    open_: Open, hasher: Hasher, clock: Clock
) -> None:
    await (await open_()).authenticate(header("alice"), "192.0.2.1")
    manager = await open_()
    clock.now += 3600  # all that is remembered is that it was right
    await guess(manager, "alice", "192.0.2.1", 11)
    hasher.checked.clear()
    hasher.seconds = 0.01
    guesses = [
        asyncio.ensure_future(manager.authenticate(header("alice", f"g{n}"), "192.0.2.1")) for n in range(40)
    ]
    await asyncio.sleep(0)
    found = await manager.authenticate(header("alice"), "192.0.2.1")
    assert found.user.username == "alice"
    assert hasher.checked.index("alice's password") < 5
    for waiting in guesses:
        waiting.cancel()
    await asyncio.gather(*guesses, return_exceptions=True)


async def test_guesses_take_half_of_one_slot(manager: Authentication, hasher: Hasher) -> None:
    await guess(manager, "alice", "192.0.2.1", 11)
    hasher.checked.clear()
    hasher.seconds = 0.02
    began = time.monotonic()
    await asyncio.gather(
        *(manager.authenticate(header("alice", f"g{n}"), "192.0.2.1") for n in range(10)),
        return_exceptions=True,
    )
    assert len(hasher.checked) == 10
    assert time.monotonic() - began > 10 * 0.02 * 2 * 0.9


async def test_the_refusal_is_the_same_for_a_user_and_for_an_unknown_name(manager: Authentication) -> None:
    texts = set()
    for name in ("alice", "nobody"):
        await guess(manager, name, f"of {name}", 11)
        with pytest.raises(UnauthenticatedError) as raised:
            await manager.authenticate(header(name, "x"), f"of {name}")
        texts.add(str(raised.value))
    assert len(texts) == 1
    assert "expired" not in texts.pop()


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::1", "2001:db8:1:2::"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("", ""),
        ("unix:" + "x" * 100, "unix:" + "x" * 59),
    ],
)
def test_an_address_stands_for_its_network(address: str, network: str) -> None:
    assert network_of(address) == network
