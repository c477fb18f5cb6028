"""Roles, as collections and data sources name those whom they admit."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence

#: `roles` as written in the configuration: by realm, or for every realm.
Roles = Mapping[str, str | Sequence[str]] | Sequence[str] | str | None

#: Stands for every role of a realm.
ANY = "any"


def has_role(roles: Roles, realm: str, user_roles: Container[str]) -> bool:
    """Whether a user of `realm` with `user_roles` holds one of `roles`.

    By realm (`{realm: role | [roles]}`) or, as a plain list or text, for every realm. `any` stands for every
    role. False if no role is named, be it for this realm only.
    """
    wanted = roles.get(realm) if isinstance(roles, Mapping) else roles
    if not wanted:
        return False
    # A single role written without a list must not match each of its letters.
    names = [wanted] if isinstance(wanted, str) else list(wanted)
    return ANY in names or any(role in user_roles for role in names)
