"""Configurations as trees, of which a changed copy is made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from polytope_server.settings.nodes import Key, Node


def tree_of(value: Any) -> Node:
    """Plain values as a tree."""
    if isinstance(value, dict):
        return Node({key: tree_of(item) for key, item in value.items()})
    return Node([tree_of(item) for item in value]) if isinstance(value, list) else Node(value)


def with_value(root: Node, path: Sequence[Key], value: Node) -> Node:
    """A copy with a value at this path of keys, and with those mappings around it that are missing."""
    if not path:
        return value
    first, *rest = path
    children: dict[Any, Node] = dict(root.children())
    return Node({**children, first: with_value(children.get(first, Node(None)), rest, value)}, root.origin)


def without(root: Node, path: Sequence[Key]) -> Node:
    """A copy without the key, and without those mappings around it that would be empty."""
    first, *rest = path
    child = root.child(first)
    if child is None:
        return root
    if rest and (kept := without(child, rest)).value:
        return Node({**dict(root.children()), first: kept}, root.origin)
    if rest and not isinstance(child.value, dict):
        return root
    return Node({key: node for key, node in root.children() if key != first}, root.origin)


def map_leaves(root: Node, change: Callable[[tuple[Key, ...], Node], Node]) -> Node:
    """A copy in which each plain value is what `change` makes of its path and the value."""

    def walk(node: Node, path: tuple[Key, ...]) -> Node:
        if isinstance(node.value, dict):
            return Node({key: walk(child, (*path, key)) for key, child in node.children()}, node.origin)
        if isinstance(node.value, list):
            items = [walk(child, (*path, index)) for index, child in enumerate(node.items())]
            return Node(items, node.origin)
        return change(path, node)

    return walk(root, ())


def leaves(node: Node, path: tuple[Key, ...] = ()) -> Iterator[tuple[tuple[Key, ...], Node]]:
    """Path and node of each plain value."""
    if isinstance(node.value, dict):
        for key, child in node.children():
            yield from leaves(child, (*path, key))
    elif isinstance(node.value, list):
        for index, child in enumerate(node.items()):
            yield from leaves(child, (*path, index))
    else:
        yield path, node
