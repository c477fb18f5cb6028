"""Passwords as argon2 hashes, made and checked outside the event loop."""

from __future__ import annotations

import base64
import os

import argon2
from argon2.exceptions import InvalidHashError, VerificationError

from polytope_server.accounts.pool import BoundedPool

#: Makes new hashes, at the cost that the library recommends.
HASHER = argon2.PasswordHasher()
#: One for the process: a hash costs 64 MiB and tens of milliseconds of several cores.
_POOL = BoundedPool("argon2", threads=2, limit=1000)


def is_hash(text: str) -> bool:
    """Whether a configured password is an argon2 hash; raises ValueError if it only looks like one."""
    if not text.startswith("$argon2"):
        return False
    try:
        argon2.extract_parameters(text)
    except InvalidHashError:
        raise ValueError("this is not a complete argon2 hash") from None
    return True


class Passwords:
    """Hashes passwords and compares them with hashes."""

    def __init__(self, hasher: argon2.PasswordHasher | None = None, pool: BoundedPool | None = None) -> None:
        """`hasher` says what a new hash costs, by default :data:`HASHER`.

        The work is done by `pool`, by default the one of the process.
        """
        self._pool = pool or _POOL
        self._hasher = hasher or HASHER
        self._dummy = _dummy(self._hasher)
        self._today = argon2.extract_parameters(self._dummy)

    async def hash(self, password: str) -> str:
        """The hash to keep of a password."""
        return await self._pool.run(lambda: self._hasher.hash(password))

    async def verify(self, stored: str | None, password: str) -> bool:
        """Whether it is the password of that hash.

        `stored` None, for a user that does not exist, costs the same time and is never right. Raises
        :class:`AuthenticationUnavailableError` if too many wait.
        """
        right = await self._pool.run(lambda: self._check(stored or self._dummy, password))
        return right and stored is not None

    def _check(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False

    def needs_rehash(self, stored: str) -> bool:
        """Whether a hash is weaker than one of today: of another kind, or with less memory or work.

        One that is stronger, which an operator may have made, stays.
        """
        kept, today = argon2.extract_parameters(stored), self._today
        return (
            kept.type != today.type
            or kept.version < today.version
            or kept.memory_cost < today.memory_cost
            or kept.memory_cost * kept.time_cost < today.memory_cost * today.time_cost
            or kept.salt_len < today.salt_len
            or kept.hash_len < today.hash_len
        )


def _dummy(hasher: argon2.PasswordHasher) -> str:
    """A hash of nothing that costs as much as a real one; made up, not computed, to start quickly."""
    salt, digest = (
        base64.b64encode(os.urandom(size)).decode().rstrip("=") for size in (hasher.salt_len, hasher.hash_len)
    )
    costs = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    return f"$argon2id$v=19${costs}${salt}${digest}"
