"""What the broker reads of requests, of which it keeps a million: sketches, and digests of many."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from sys import intern
from typing import ClassVar

from polytope_server.request import Status


@dataclass(frozen=True, slots=True)
class Sketch:
    """What the broker needs to know of a request, and no more."""

    id: str
    collection: str
    user_id: str
    realm: str
    roles: tuple[str, ...]
    status: Status
    attempt: int
    not_before: float
    datasource: str = ""
    #: Its place in the order of submission; two requests may have the same.
    sequence: int = 0


@dataclass(frozen=True, slots=True)
class Digest:
    """Numbers by which two sets of requests, each known by its sequence, are compared without naming them.

    Within a million numbers, a set never has the digest of another that lacks one or two of its requests, or
    has one or two others instead; beyond that, by chance only.
    """

    count: int = 0
    total: int = 0
    squares: int = 0

    #: The sequence is taken modulo this prime: the sum of a million squares stays below 2^63.
    MODULUS: ClassVar[int] = 1_048_573

    @classmethod
    def of(cls, sequences: Iterable[int]) -> Digest:
        """The digest of requests with these sequences."""
        rests = [sequence % cls.MODULUS for sequence in sequences]
        return cls(len(rests), sum(rests), sum(rest * rest for rest in rests))


def new_sketch(
    request_id: str,
    collection: str,
    user_id: str,
    realm: str,
    roles: tuple[str, ...],
    status: Status,
    attempt: int,
    not_before: float,
    datasource: str,
    sequence: int,
) -> Sketch:
    """A sketch of what a store has read. A broker keeps a million of them: equal texts are kept once."""
    return Sketch(
        *(request_id, intern(collection), intern(user_id), intern(realm), _kept_once(roles)),
        *(status, attempt, not_before or 0.0, intern(datasource), sequence),
    )


@lru_cache(maxsize=1000)
def _kept_once(roles: tuple[str, ...]) -> tuple[str, ...]:
    return roles
