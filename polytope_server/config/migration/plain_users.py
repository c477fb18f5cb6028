"""Users in the configuration, as an earlier chart lists them, in the form that this server reads."""

from __future__ import annotations

import re
from collections.abc import Iterator

from polytope_server.accounts.passwords import is_hash
from polytope_server.config.migration.findings import Finding, Path
from polytope_server.config.migration.rules import Verdict
from polytope_server.config.migration.trees import with_value
from polytope_server.settings.nodes import Node

#: Every user has this role, without an authorizer.
_DEFAULT = "default"
_RENAMED = "`username` is called `uid`."
_GIVEN = "Made of the `roles` in the list of users: see that each user should have them."


def with_users(root: Node) -> tuple[Node, list[Finding]]:
    """The configuration with the users of authenticators `plain` in this server's form, and what changed."""
    findings: list[Finding] = []
    for realm, section in (root.child("authentication") or Node({})).children():
        for name, authenticator in (section.child("authenticators") or Node({})).children():
            if _is_list_of_users(authenticator):
                path = ("authentication", realm)
                root = _with_authenticator(root, path, name, authenticator, findings)
    return root, findings


def _is_list_of_users(authenticator: Node) -> bool:
    kind, users = authenticator.child("type"), authenticator.child("users")
    return kind is not None and kind.value == "plain" and users is not None and bool(users.items())


def _with_authenticator(root: Node, realm: Path, name: str, section: Node, findings: list[Finding]) -> Node:
    path = (*realm, "authenticators", name)
    users = section.value["users"]
    root = with_value(
        root, (*path, "users"), Node([_rename_keys(user) for user in users.items()], users.origin)
    )
    if any(user.child("username") is not None for user in users.items()):
        findings.append(Finding((*path, "users"), Verdict.CHANGED, _RENAMED, origin=users.origin))
    if "clear_text" not in section.value and not all(map(_has_hash, users.items())):
        root = with_value(root, (*path, "clear_text"), Node(True, section.origin))
    roles = _collect_roles(users)
    return _with_roles(root, realm, name, roles, findings) if roles else root


def _rename_keys(user: Node) -> Node:
    pairs = {"uid" if key == "username" else key: node for key, node in user.children() if key != "roles"}
    # With both names it is for a person to say which one counts.
    both = {"uid", "username"} <= set(user.value) if isinstance(user.value, dict) else True
    return user if both else Node(pairs, user.origin)


def _has_hash(user: Node) -> bool:
    password = user.child("password")
    try:
        return password is not None and is_hash(str(password.value))
    except ValueError:
        # Something else refuses it; it is not to be accepted as clear text.
        return True


def _collect_roles(users: Node) -> dict[str, list[str]]:
    """The users of each role, but for the one that all have."""
    found: dict[str, list[str]] = {}
    for user in users.items():
        name = user.child("uid") or user.child("username")
        for role in _list_roles(user):
            if name is not None and role != _DEFAULT:
                found.setdefault(role, []).append(str(name.value))
    return found


def _list_roles(user: Node) -> Iterator[str]:
    given = user.child("roles")
    if given is not None and given.value is not None:
        names = [item.value for item in given.items()] or re.findall(r"[^\s,]+", str(given.value))
        yield from map(str, names)


def _with_roles(
    root: Node, realm: Path, name: str, roles: dict[str, list[str]], findings: list[Finding]
) -> Node:
    """With an authorizer that gives those roles, beside the others of the realm."""
    others = root.child(*realm, "authorizers") or Node(None)
    taken = {str(key) for key, _ in others.children()}
    free = next(each for each in (name, f"{name}-roles", f"{name}-users") if each not in taken)
    value = Node(
        {
            "type": Node("plain"),
            "roles": Node({role: Node([Node(user) for user in users]) for role, users in roles.items()}),
        }
    )
    path = (*realm, "authorizers", free)
    findings.append(Finding(path, Verdict.CHANGED, _GIVEN, decide=True))
    return with_value(root, path, value)
