"""Writes the configuration that an earlier one becomes, with a comment wherever something is different."""

from __future__ import annotations

import secrets
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from polytope_server.config.migration.findings import Finding, Path
from polytope_server.config.migration.rules import Verdict
from polytope_server.settings.nodes import Node

_HEAD = """\
# Written by `polytope-server config migrate`. Where it says DECIDE, a person has to: do what the comment
# says, then take the comment out. Variables of the environment stand here as they did before.
"""
_WIDTH = 110
_DROPPED = (Verdict.REFUSED, Verdict.IDLE, Verdict.UNKNOWN)
_NEEDED: Mapping[str, Any] = {"staging.polytope.token": str, "secrets.keys": lambda secret: [secret]}


def rewritten(root: Node, findings: Sequence[Finding]) -> str:
    """The text of the new configuration, secrets included; those that are needed are made."""
    return _HEAD + "\n" + "\n".join(_Writer(root, findings).lines()) + "\n"


class _Writer:
    def __init__(self, root: Node, findings: Sequence[Finding]) -> None:
        self._root = root
        self._by_path: dict[Path, Finding] = {finding.path: finding for finding in findings}
        self._needed = {finding.path for finding in findings if finding.now is Verdict.NEEDED}
        self._gone = {
            str(finding.path[1])
            for finding in findings
            if finding.now is Verdict.REFUSED and finding.path[0] == "datasources" and len(finding.path) == 2
        }

    def lines(self) -> Iterator[str]:
        yield from self._mapping(self._root, ())

    def _mapping(self, node: Node, path: Path) -> Iterator[str]:
        for key, child in node.children():
            yield from self._entry((*path, key), child)
        for needed in sorted(self._needed, key=str):
            if needed[:-1] == path or (not path and self._root.child(needed[0]) is None):
                yield from self._made(needed, len(path))

    def _entry(self, path: Path, node: Node) -> Iterator[str]:
        key, finding = path[-1], self._by_path.get(path)
        if finding is not None and finding.now in _DROPPED:
            left_out = "left out, as it has no effect" if finding.now is Verdict.IDLE else "left out"
            yield from _comment(f"{key}: {left_out}. {finding.text}", finding.decide)
            return
        if finding is not None and (finding.now in (Verdict.CHANGED, Verdict.RENAMED) or finding.decide):
            yield from _comment(f"{key}: {finding.text}", finding.decide)
        name = finding.to if finding is not None and finding.to else key
        lost = self._lost(node.child("datasources")) if path[0] == "collections" and len(path) == 2 else []
        if lost and len(lost) == len(_items(node.child("datasources"))):
            text = f"{key}: left out, as it has no data source any more (it had {_names(lost)})."
            yield from _comment(text, True)
        elif lost:
            yield from _comment(f"{key}: without its data sources {_names(lost)}, which are left out.", True)
            yield from _section(name, list(self._mapping(node, path)))
        elif path[0] == "collections" and path[2:] == ("datasources",) and (lost := self._lost(node)):
            yield from _dumped(name, [item.plain() for item in _items(node) if item not in lost])
        elif self._has_findings_below(path, node):
            yield from _section(name, list(self._mapping(node, path)))
        else:
            yield from _dumped(name, node.plain())

    def _has_findings_below(self, path: Path, node: Node) -> bool:
        below = any(len(other) > len(path) and other[: len(path)] == path for other in self._by_path)
        return below and (node.value is None or isinstance(node.value, dict))

    def _made(self, path: Path, depth: int) -> Iterator[str]:
        """A secret that is new, with the sections around it that are not there."""
        finding = self._by_path[path]
        yield from _comment(f"{finding.key}: {finding.text} Made by this command, for this file.", True)
        value = _NEEDED[finding.key](secrets.token_hex(32))
        for name in reversed(path[depth:]):
            value = {name: value}
        yield from _yaml(value)

    def _lost(self, listed: Node | None) -> list[Node]:
        """The data sources of a collection's list that are gone."""
        return [item for item in _items(listed) if _name(item) in self._gone]


def _items(listed: Node | None) -> list[Node]:
    return listed.value if listed is not None and isinstance(listed.value, list) else []


def _names(items: list[Node]) -> str:
    return ", ".join(dict.fromkeys(map(_name, items)))


def _name(item: Node) -> str:
    label = item.child("name") if isinstance(item.value, dict) else item
    return str(label.value) if label is not None else ""


def _section(name: object, lines: list[str]) -> Iterator[str]:
    # A section of comments only is null: it counts as not given.
    yield f"{_key(name)}:"
    for line in lines:
        yield f"  {line}"


def _key(name: object) -> str:
    return next(_yaml({name: None})).removesuffix(": null")


def _comment(text: str, decide: bool) -> Iterator[str]:
    text = f"DECIDE {text}" if decide else text
    yield from textwrap.wrap(text, _WIDTH - 10, initial_indent="# ", subsequent_indent="# ")


def _dumped(name: object, value: Any) -> Iterator[str]:
    yield from _yaml({name: value})


def _yaml(value: Any) -> Iterator[str]:
    text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=_WIDTH)
    yield from text.splitlines()
