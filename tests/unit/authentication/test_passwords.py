import asyncio
import threading

import argon2
import pytest

from polytope_server.authentication import AuthenticationUnavailableError
from polytope_server.authentication.passwords import Passwords
from polytope_server.authentication.pool import BoundedPool


@pytest.fixture
def passwords() -> Passwords:
    return Passwords(argon2.PasswordHasher(1, 8, 1))


async def test_a_password_fits_its_hash_only(passwords: Passwords) -> None:
    stored = await passwords.hash("secret")
    assert stored.startswith("$argon2id$")
    assert await passwords.verify(stored, "secret")
    assert not await passwords.verify(stored, "Secret")
    assert not await passwords.verify("damaged", "secret")


async def test_nobody_has_no_password_but_costs_the_same(passwords: Passwords) -> None:
    assert not await passwords.verify(None, "secret")
    ours, real = (
        argon2.extract_parameters(text) for text in (passwords._dummy, await passwords.hash("secret"))
    )
    assert ours == real


async def test_too_many_at_a_time_are_refused() -> None:
    pool = BoundedPool("test", threads=1, limit=2)
    go = threading.Event()
    waiting = [asyncio.ensure_future(pool.run(go.wait)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(AuthenticationUnavailableError, match="Too many"):
        await pool.run(go.wait)
    go.set()
    assert await asyncio.gather(*waiting) == [True, True]
    assert await pool.run(lambda: "free again") == "free again"
    pool.close()
