import asyncio
import threading

import argon2
import pytest

from polytope_server.accounts.passwords import Passwords, is_hash
from polytope_server.accounts.pool import BoundedPool
from polytope_server.authentication import AuthenticationUnavailableError


@pytest.fixture
def passwords() -> Passwords:
    return Passwords(argon2.PasswordHasher(1, 8, 1))


async def test_a_password_fits_its_hash_only(passwords: Passwords) -> None:
    stored = await passwords.hash("secret")
    assert stored.startswith("$argon2id$")
    assert await passwords.verify(stored, "secret")
    assert not await passwords.verify(stored, "Secret")
    assert not await passwords.verify("damaged", "secret")


class Hasher(argon2.PasswordHasher):
    """Notes with which hashes passwords were compared."""

    def __init__(self) -> None:
        super().__init__(1, 8, 1)
        self.compared: list[str] = []

    def verify(self, hash: str | bytes, password: str | bytes) -> bool:
        self.compared.append(str(hash))
        return bool(super().verify(hash, password))


async def test_a_user_that_does_not_exist_costs_the_same() -> None:
    hasher = Hasher()
    passwords = Passwords(hasher)
    assert not await passwords.verify(None, "secret")
    (dummy,) = hasher.compared
    assert argon2.extract_parameters(dummy) == argon2.extract_parameters(await passwords.hash("secret"))


@pytest.mark.parametrize(
    ("hasher", "weaker"),
    [
        (argon2.PasswordHasher(2, 64, 1), False),
        (argon2.PasswordHasher(3, 64, 1), False),
        (argon2.PasswordHasher(1, 128, 2), False),
        (argon2.PasswordHasher(1, 64, 1), True),
        (argon2.PasswordHasher(1, 96, 1), True),
        (argon2.PasswordHasher(100, 32, 1), True),
        (argon2.PasswordHasher(2, 64, 1, hash_len=16), True),
        (argon2.PasswordHasher(2, 64, 1, salt_len=8), True),
        (argon2.PasswordHasher(2, 64, 1, type=argon2.Type.I), True),
        (argon2.PasswordHasher(2, 64, 1, type=argon2.Type.D), True),
    ],
)
async def test_a_hash_with_less_work_or_memory_is_weaker(hasher: argon2.PasswordHasher, weaker: bool) -> None:
    passwords = Passwords(argon2.PasswordHasher(2, 64, 1))
    stored = hasher.hash("secret")
    assert await passwords.verify(stored, "secret")
    assert passwords.needs_rehash(stored) is weaker


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


HASH = "$argon2id$v=19$m=65536,t=3,p=4$c2Fs/HQ$aGFz+aA"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        # What `export NAME_HASH="$argon2id$v=19$..."` leaves, and the same in a Makefile.
        ("=19=65536,t=3,p=4/HQ+aA", "single quotes"),
        ("rgon2id=19=65536,t=3,p=4/HQ+aA", "single quotes"),
        # Of the first version of argon2, without `v`.
        ("=512,t=2,p=2", "single quotes"),
        # Quoted once too often: for Compose, and for a shell.
        (HASH.replace("$", "$$"), "single quotes"),
        (HASH.replace("$", "\\$"), "single quotes"),
        ("$argon2id=19=65536,t=3,p=4", "complete argon2"),
        ("$2b$12$R9h/cIPz0gi.URNNX3kh2O", "another kind"),
        ("$6$rounds=5000$salt$hash", "another kind"),
        ("$apr1$salt$hash", "another kind"),
        ("{SSHA}aGFzaA==", "another kind"),
    ],
)
def test_what_begins_like_a_hash_and_is_none_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        is_hash(text)
    assert text not in str(caught.value)


@pytest.mark.parametrize("text", ["$ecret", "a$b$c", "{curly} brackets", "$5 for a book", "x=1,y=2", "$$"])
def test_other_passwords_are_clear_text(text: str) -> None:
    assert not is_hash(text)


def test_a_hash_is_one() -> None:
    assert is_hash(HASH)
