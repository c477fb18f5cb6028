"""Who makes a request."""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

_NIL_NAMESPACE = uuid.UUID(int=0)


@lru_cache(maxsize=10_000)  # on the path of every poll
def _user_id(username: str, realm: str) -> str:
    name = f"{username}{len(username)}{realm}{len(realm)}"
    return str(uuid.uuid5(_NIL_NAMESPACE, name))


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
        """The deterministic id of a user: UUIDv5 in the nil namespace (REST v1, 2.4)."""
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
