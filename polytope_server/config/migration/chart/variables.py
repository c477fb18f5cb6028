"""Secrets of a configuration as variables of the environment: a ConfigMap must not hold them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from polytope_server.config.migration.trees import map_leaves
from polytope_server.redaction import is_secret
from polytope_server.settings.nodes import Location, Node

#: Parts of a path that say nothing about the secret.
_GENERIC = frozenset(
    {"authentication", "authenticators", "authorizers", "datasources", "users", "extra-users", "plain"}
)
_USER_INFO = re.compile(r"(?P<begin>\w[\w+.-]*://[^/\s:@]*:)(?P<password>[^/\s@$]+)(?=@)")
_REFERENCE = re.compile(r"\$(?:(\w+)|\{(\w+)\})", re.ASCII)
_HASH = "$argon2"
#: Keys that say where a secret is, such as `token_in`.
_WHERE = ("_in", "_file")


class Variables:
    """Names of variables and their values; the value is None where the old file does not have it."""

    def __init__(self, given: Mapping[str, str], elsewhere: Collection[str]) -> None:
        """`given` are values of variables that the old file has; others come from `elsewhere`."""
        self.values: dict[str, str | None] = {}
        self._given = given
        self._elsewhere = elsewhere
        self._logins: dict[str, str] = {}
        #: Those that a log-in of the chart's has taken the place of.
        self.replaced: set[str] = set()

    def add_login(self, name: str, value: str | None) -> None:
        """A variable that the chart uses for a back-end; the same secret elsewhere gets its name, too."""
        reference = _REFERENCE.fullmatch(value or "")
        if reference is not None:
            earlier = reference[1] or reference[2]
            value = self._given.get(earlier)
            self.replaced.add(earlier)
        self.values[name] = value
        if value:
            self._logins[value] = name

    def hide(self, root: Node, unnamed: Collection[str]) -> Node:
        """The configuration with references in place of secrets.

        Those are values of keys that are called so, passwords in addresses, and `unnamed` ones.
        """

        def hide_leaf(path: Location, leaf: Node) -> Node:
            text = leaf.value
            if isinstance(text, bool) or not isinstance(text, str | int | float) or text == "":
                return leaf
            if _is_of_secret(path) or text in unnamed:
                return self._hide_whole(root, path, leaf)
            if isinstance(text, str) and (found := _USER_INFO.search(text)):
                name = self._name(root, path, found["password"])
                return Node(text.replace(found[0], f"{found['begin']}${{{name}}}", 1), leaf.origin)
            return leaf

        return map_leaves(root, hide_leaf)

    def need_references(self, root: Node) -> None:
        """Note the variables that the configuration refers to, and that come from nowhere else.

        One that the old file gives in clear text is noted where it is a secret.
        """

        def note(path: Location, leaf: Node) -> Node:
            if isinstance(leaf.value, str) and not leaf.value.startswith(_HASH):
                secret = _is_of_secret(path)
                names = (found[1] or found[2] for found in _REFERENCE.finditer(leaf.value))
                for name in names:
                    if name not in self._elsewhere and (secret or name not in self._given):
                        self.values.setdefault(name, self._given.get(name))
            return leaf

        map_leaves(root, note)

    def _hide_whole(self, root: Node, path: Location, leaf: Node) -> Node:
        text = str(leaf.value)
        # What refers to a variable is none; a hash is full of `$`.
        if _REFERENCE.search(text) and not text.startswith(_HASH):
            return leaf
        return Node(f"${self._name(root, path, text)}", leaf.origin)

    def _name(self, root: Node, path: Location, value: str) -> str:
        if value in self._logins:
            return self._logins[value]
        words = [str(key) for key in _named_path(root, path) if str(key) not in _GENERIC]
        base = re.sub(r"\W+", "_", "_".join(words), flags=re.ASCII).strip("_").upper()
        base = base if base[:1].isalpha() else f"SECRET_{base}"
        name = next(
            each
            for each in (base, *(f"{base}_{number}" for number in range(2, len(self.values) + 3)))
            if self.values.get(each, value) == value
            and each not in self._given
            and each not in self._elsewhere
        )
        self.values[name] = value
        return name


def _is_of_secret(path: Location) -> bool:
    """Whether the key of a value is called so; what is around it may be an authenticator called `tokens`."""
    key = str(next((key for key in reversed(path) if not isinstance(key, int)), ""))
    return is_secret(key) and not key.endswith(_WHERE)


def _named_path(root: Node, path: Location) -> list[object]:
    """The path, with the name of a user in place of the number in a list."""
    named: list[object] = []
    for depth, key in enumerate(path):
        entry = root.child(*path[: depth + 1]) if isinstance(key, int) else None
        uid = entry.child("uid") if entry is not None else None
        named.append(key if uid is None else uid.value)
    return named
