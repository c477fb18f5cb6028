"""Other servers, which act for their users."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal

from polytope_server.authentication import Authenticator, basic
from polytope_server.authentication.names import is_name
from polytope_server.settings.data import FederationSettings
from polytope_server.user import User

#: A shorter secret draws a warning.
_LENGTH = 16


class Federation(Authenticator):
    """`<secret>:<username>:<realm>`: a server that knows the secret says for whom it acts."""

    scheme = "Federation"
    users: ClassVar[Literal["realm", "any", "none"]] = "none"

    def __init__(self, peers: Mapping[str, FederationSettings], data: Path) -> None:
        """`peers` is the section `federation`, where no secret is empty or holds what splits a header."""
        super().__init__("polytope", None, data)
        self._peers = [(peer.secret, _realms(peer)) for peer in peers.values()]

    async def authenticate(self, credentials: str) -> User | None:
        secret, _, rest = credentials.partition(":")
        username, _, realm = rest.partition(":")
        # All of them are compared: the time must not tell which secret came near.
        matching = [realms for known, realms in self._peers if basic.same(known, secret)]
        allowed = any(realms is None or realm in realms for realms in matching)
        return User(username, realm) if allowed and is_name(username) and is_name(realm) else None


def warnings(peers: Mapping[str, FederationSettings]) -> list[str]:
    """What `config check` tells the operator about the section `federation`."""
    found = []
    for name, peer in peers.items():
        if len(peer.secret) < _LENGTH:
            found.append(f"federation.{name}.secret has fewer than {_LENGTH} characters")
        if _realms(peer) is None:
            found.append(f"federation.{name} may act for every user of every realm; set allowed-realms")
    return found


def _realms(peer: FederationSettings) -> frozenset[str] | None:
    if peer.allowed_realms == "any":
        return None
    given = peer.allowed_realms
    return frozenset([given] if isinstance(given, str) else given)
