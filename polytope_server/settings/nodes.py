"""YAML files as trees that remember where each value was written, merged before they become plain values."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from polytope_server.language import RequestError, read_plain

Key = str | int
Location = tuple[Key, ...]

_MAPPING, _SEQUENCE = "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"
_MERGE = "tag:yaml.org,2002:merge"
_VARIABLE = re.compile(r"\$(?:(\w+)|\{([^}]*)\})", re.ASCII)
#: How the hash of a password begins, which is full of dollar signs.
_HASH = "$argon2"
#: Where a configuration has keys and values of requests. None stands for any name or number.
_REQUESTS: tuple[tuple[str | None, ...], ...] = (
    *(("datasources", None, part) for part in ("match", "defaults", "patch")),
    *(("collections", None, "datasources", None, part) for part in ("match", "defaults", "patch")),
    ("collections", None, "about", "examples", None),
)


class FileError(ValueError):
    """A file cannot be read or is not YAML; the message names the file, line and column."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value was written: file, line, and the path of keys there."""

    file: str = "built-in defaults"
    line: int = 0
    path: Location = ()

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True, slots=True)
class Node:
    """A value: a dict of nodes, a list of nodes, or a plain scalar.

    `unset` are the references of a text to variables that are not set, as they stand in it.
    """

    value: Any
    origin: Origin = Origin()
    unset: tuple[str, ...] = ()

    def plain(self) -> Any:
        """The value without the origins."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value

    def children(self) -> Iterator[tuple[Any, Node]]:
        """Keys and nodes of a mapping; nothing for any other value."""
        return iter(self.value.items() if isinstance(self.value, dict) else ())

    def items(self) -> list[Node]:
        """The nodes of a list; nothing for any other value."""
        return self.value if isinstance(self.value, list) else []

    def child(self, *location: Any) -> Node | None:
        """The node below these keys, None if one of them is not there."""
        node: Node | None = self
        for key in location:
            node = node and node._find_child(key)
        return node

    def _find_child(self, key: Any) -> Node | None:
        if isinstance(self.value, dict):
            return self.value.get(key)
        inside = isinstance(self.value, list) and isinstance(key, int) and key < len(self.value)
        return self.value[key] if inside else None

    def nearest(self, location: Location) -> Node:
        """The node at `location`, leaving out keys that are not there (such as names of types)."""
        node = self
        for key in location:
            node = node._find_child(key) or node
        return node

    def only(self, keys: Collection[str]) -> Node:
        """This mapping with no other keys."""
        return Node({key: node for key, node in self.children() if key in keys}, self.origin)

    def without(self, keys: Collection[str]) -> Node:
        """This mapping without those keys."""
        return Node({key: node for key, node in self.children() if key not in keys}, self.origin)

    def given(self) -> Node:
        """This mapping without keys that are null; null itself is an empty mapping."""
        return Node({key: node for key, node in self.children() if node.value is not None}, self.origin)


def merge(earlier: Node, later: Node) -> Node:
    """Both as one: mappings are merged, lists joined, else the later wins; a later null removes a key."""
    if isinstance(earlier.value, list) and isinstance(later.value, list):
        return Node([*earlier.value, *later.value], later.origin)
    if not (isinstance(earlier.value, dict) and isinstance(later.value, dict)):
        return later
    merged = dict(earlier.value)
    for key, node in later.value.items():
        if key not in merged:
            merged[key] = node
        elif node.value is None:
            del merged[key]
        else:
            merged[key] = merge(merged[key], node)
    return Node(merged, later.origin)


def expand(text: str, environ: Mapping[str, str]) -> str:
    """`$NAME` and `${NAME}` replaced by variables that exist, then `~` at the start by the home folder."""
    if text.startswith(_HASH):
        return text
    text = _VARIABLE.sub(lambda found: environ.get(found[1] or found[2], found[0]), text)
    if text == "~" or text.startswith("~/"):
        return environ.get("HOME", "~") + text[1:]
    return os.path.expanduser(text)


def unset(text: str, environ: Mapping[str, str]) -> tuple[str, ...]:
    """What :func:`expand` leaves as it is: `$NAME` and `${NAME}` of variables that do not exist."""
    if "$" not in text or text.startswith(_HASH):
        return ()
    return tuple(found[0] for found in _VARIABLE.finditer(text) if (found[1] or found[2]) not in environ)


def read(file: Path, environ: Mapping[str, str]) -> list[Node]:
    """The documents of a file, strings expanded. Raises :class:`FileError`."""
    try:
        loader = _Loader(file.read_text(encoding="utf-8"))
        return list(_Documents(str(file), loader, environ))
    except OSError as error:
        raise FileError(f"{file}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise FileError(f"{file}: is not a text in UTF-8: {error.reason} at byte {error.start}") from error
    except yaml.MarkedYAMLError as error:
        raise FileError(f"{file}{_format_position(error)}: {error.problem}") from error
    except yaml.YAMLError as error:
        raise FileError(f"{file}: is no YAML: {str(error).splitlines()[0]}") from error


def _format_position(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    return f":{mark.line + 1}:{mark.column + 1}" if mark else ""


class _Loader(yaml.SafeLoader):
    """The safe loader; a key that is given twice in one mapping is an error instead of a silent loss."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                _raise_at("a key must be a plain text", key)
            if key.value in seen and key.tag != _MERGE:
                _raise_at(f"key '{key.value}' is given twice", key)
            seen.add(key.value)
        return node


def _raise_at(problem: str, node: Any) -> None:
    raise yaml.composer.ComposerError(None, None, problem, node.start_mark)


class _Documents:
    """The documents of one file, as nodes."""

    def __init__(self, file: str, loader: _Loader, environ: Mapping[str, str]) -> None:
        self._file, self._loader, self._environ = file, loader, environ
        self._open: set[int] = set()

    def __iter__(self) -> Iterator[Node]:
        try:
            while self._loader.check_node():
                document: Any = self._loader.get_node()
                node = self._build_node(document, (), document.start_mark.line)
                if isinstance(node.value, dict):
                    yield node
                elif node.value is not None:
                    _raise_at("expected sections: a mapping of keys to values", document)
        finally:
            self._loader.dispose()

    def _build_node(self, node: Any, path: Location, line: int) -> Node:
        left = unset(str(node.value), self._environ) if isinstance(node, yaml.ScalarNode) else ()
        return Node(self._build_value(node, path), Origin(self._file, line + 1, path), left)

    def _build_value(self, node: Any, path: Location) -> Any:
        if isinstance(node, yaml.ScalarNode):
            return self._build_scalar(node, path)
        if id(node) in self._open:
            _raise_at("an alias refers to what it is in", node)
        if node.tag not in (_MAPPING, _SEQUENCE):
            _raise_at(f"the tag {node.tag} is not accepted", node)
        self._open.add(id(node))
        value = self._build_items(node, path)
        self._open.discard(id(node))
        return value

    def _build_scalar(self, node: yaml.ScalarNode, path: Location) -> Any:
        value = self._loader.construct_object(node)
        if isinstance(value, str):
            return expand(value, self._environ)
        key = _find_key(path)
        if key is not None and node.style is None:
            # What a request cannot have (.inf) is refused with all else that is wrong.
            with suppress(RequestError):
                return read_plain(node.value, key)
        return value

    def _build_items(self, node: Any, path: Location) -> dict[Any, Node] | list[Node]:
        if isinstance(node, yaml.SequenceNode):
            return [
                self._build_node(item, (*path, index), item.start_mark.line)
                for index, item in enumerate(node.value)
            ]
        self._loader.flatten_mapping(node)
        pairs = ((self._loader.construct_object(key), key, item) for key, item in node.value)
        return {name: self._build_node(item, (*path, name), key.start_mark.line) for name, key, item in pairs}


def _find_key(path: Location) -> str | None:
    """The key of a request that the value at a path belongs to; None for all other values.

    Such values are read as in requests. To YAML 0010 is 8, 12:00 is 720, 130.200 is 130.2 and no is false.
    """
    for place in _REQUESTS:
        here = path[: len(place)]
        if len(path) > len(place) and all(part in (None, key) for part, key in zip(place, here, strict=True)):
            return str(path[len(place)])
    return None
