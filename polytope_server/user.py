"""Who makes a request."""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

_NIL_NAMESPACE = uuid.UUID(int=0)
#: As much as an Authorization header holds.
_LONGEST_NAME = 8192


@lru_cache(maxsize=10_000)  # on the path of every poll
def _user_id(username: str, realm: str) -> str:
    name = f"{username}{len(username)}{realm}{len(realm)}"
    return str(uuid.uuid5(_NIL_NAMESPACE, name))


def may_share_ids(realm: str, other: str) -> bool:
    """Whether a user of one realm could have the id of a user of the other.

    In what an id is made of nothing separates a name from its length, and these from the realm: users of one
    realm differ, but not those of any two.
    """
    short, long = sorted((f"{name}{len(name)}" for name in (realm, other)), key=len)
    if realm == other or not long.endswith(short):
        return False
    between = long.removesuffix(short)
    return any(_ends_with_its_length(length, between) for length in range(1, _LONGEST_NAME + 1))


def _ends_with_its_length(length: int, between: str) -> bool:
    """Whether some name of that length, the length and `between` are another name and its length."""
    end = f"{length}{between}"
    for digits in range(1, len(str(_LONGEST_NAME)) + 2):
        other = str(length + len(end) - digits)
        known = min(digits, len(end))  # what is before can be any letter of the name
        if len(other) == digits and other != "0" and end[-known:] == other[-known:]:
            return True
    return False


@dataclass(frozen=True, slots=True)
class User:
    """An authenticated user of one realm; the same name in two realms is two users.

    ``attributes`` may hold secrets (an ECMWF API key): they live only as long as the call and are
    neither stored with a request nor logged, which is why they do not show in the representation.
    ``until`` is when the credentials end that were shown, in seconds since the epoch.
    """

    username: str
    realm: str
    roles: tuple[str, ...] = ("default",)
    attributes: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    until: float = field(default=math.inf, repr=False, compare=False)

    @property
    def id(self) -> str:
        """The deterministic id of a user: UUIDv5 in the nil namespace."""
        return _user_id(self.username, self.realm)

    def with_roles(self, roles: Sequence[str], attributes: Mapping[str, str] | None = None) -> User:
        """This user with further roles and attributes; roles keep their order and appear once."""
        merged = tuple(dict.fromkeys((*self.roles, *roles)))
        return replace(self, roles=merged, attributes={**self.attributes, **(attributes or {})})

    def to_document(self) -> dict[str, Any]:
        """The user as stored with a request and shown in lists: without attributes (invariant 10)."""
        return {
            "id": self.id,
            "username": self.username,
            "realm": self.realm,
            "roles": list(self.roles),
            "attributes": {},
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> User:
        """The inverse of :meth:`to_document`."""
        return cls(document["username"], document["realm"], tuple(document.get("roles", ())))
