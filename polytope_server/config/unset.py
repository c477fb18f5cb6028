"""Secrets that name a variable which is not set.

Such a text stays as it is, and is no secret: anyone can guess the password of `password: $ALICE_PASSWORD`.
"""

from __future__ import annotations

from collections.abc import Iterator

from polytope_server.redaction import is_secret
from polytope_server.settings.masking import secrets_of
from polytope_server.settings.nodes import Node
from polytope_server.settings.problems import Problem

#: Sections whose secrets authenticate callers or this server. Those of data sources concern workers only.
_SECTIONS = frozenset(
    {
        *("authentication", "identity", "api-keys", "federation", "secrets"),
        *("request_store", "queue", "notices", "staging", "caching", "metric_store"),
    }
)


def unset_secrets(root: Node) -> dict[str, list[str]]:
    """By section, a line for each secret of the merged configuration that is still the name of a variable."""
    found = {name: _find_unset(section) for name, section in root.only(_SECTIONS).children()}
    return {name: problems for name, problems in found.items() if problems}


def _find_unset(section: Node) -> list[str]:
    problems = []
    for leaf in _walk_leaves(section):
        # A variable's own value may look like a reference: what was written counts.
        hidden = set(secrets_of(leaf.value, any(is_secret(key) for key in leaf.origin.path)))
        for reference in dict.fromkeys(leaf.unset):
            if reference in hidden:
                name = reference.strip("${}")
                text = f"the variable {name} is not set, and is to be a secret"
                problems.append(str(Problem(leaf.origin, text)))
    return problems


def _walk_leaves(node: Node) -> Iterator[Node]:
    if isinstance(node.value, dict):
        for child in node.value.values():
            yield from _walk_leaves(child)
    elif isinstance(node.value, list):
        for child in node.items():
            yield from _walk_leaves(child)
    else:
        yield node
