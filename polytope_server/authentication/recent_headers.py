"""What this process found out lately about Authorization headers, by their keyed hash.

PERF: it is in front of the shared cache, because every poll comes through here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cachetools import TLRUCache, TTLCache

from polytope_server.authentication.identification import Identification, UnauthenticatedError

_MOST = 10_000
#: A client that repeats wrong credentials costs nothing for this long; a user just added waits no longer.
_REFUSED_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class VerifiedHeader:
    """Who sent a header, until when that counts, and the digest of the credential that was right."""

    identification: Identification
    until: float
    digest: str


class VerifiedHeaders:
    """Headers with a right credential."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._headers: TLRUCache[bytes, VerifiedHeader] = TLRUCache(
            _MOST, ttu=lambda key, header, now: header.until, timer=clock
        )

    def get(self, key: bytes) -> VerifiedHeader | None:
        """What is known of a header, while it counts."""
        return self._headers.get(key)

    def add(self, key: bytes, header: VerifiedHeader) -> None:
        """Remember a header until it counts no more."""
        self._headers[key] = header

    def remove(self, key: bytes) -> None:
        """Forget a header."""
        self._headers.pop(key, None)

    def remove_user(self, username: str, realm: str) -> list[str]:
        """Forget the headers of a user; returns the digests of their credentials."""
        digests = []
        for key, header in list(self._headers.items()):
            user = header.identification.user
            if (user.username, user.realm) == (username, realm):
                self.remove(key)
                digests.append(header.digest)
        return digests

    def clear(self) -> None:
        """Forget all headers."""
        self._headers.clear()


class RefusedHeaders:
    """Headers that were refused within the last second, and why."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._refusals: TTLCache[bytes, UnauthenticatedError] = TTLCache(_MOST, _REFUSED_SECONDS, timer=clock)

    def get(self, key: bytes) -> UnauthenticatedError | None:
        """The refusal of a header, to be raised again."""
        refusal = self._refusals.get(key)
        return None if refusal is None else refusal.copy()

    def add(self, key: bytes, refusal: UnauthenticatedError) -> None:
        """Remember a refusal for a second."""
        self._refusals[key] = refusal.copy()

    def clear(self) -> None:
        """Forget all refusals."""
        self._refusals.clear()
