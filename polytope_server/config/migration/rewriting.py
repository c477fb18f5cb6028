"""Writes the configuration that an earlier one becomes, with a comment wherever something is different."""

from __future__ import annotations

import secrets
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from polytope_server.config.migration.findings import Finding, Path, is_list_of_sources, name_of_source
from polytope_server.config.migration.rules import Verdict
from polytope_server.config.migration.yaml_text import WIDTH, dump
from polytope_server.settings.nodes import Node
from polytope_server.settings.problems import dotted

_HEAD = """\
# Written by `polytope-server config migrate`. Where it says DECIDE, a person has to: do what the comment
# says, then take the comment out. Variables of the environment stand here as they did before.
"""
_DROPPED = (Verdict.REFUSED, Verdict.IDLE, Verdict.UNKNOWN, Verdict.LACKING, Verdict.CHART)
_REASONS = {
    Verdict.IDLE: ", as it has no effect",
    Verdict.LACKING: ", as it is not accepted",
}
_NEEDED: Mapping[str, Any] = {"staging.polytope.token": str, "secrets.keys": lambda secret: [secret]}


def rewritten(root: Node, findings: Sequence[Finding]) -> str:
    """The text of the new configuration, secrets included; those that are needed are made."""
    return _HEAD + "\n" + "\n".join(_Writer(root, findings).lines()) + "\n"


class _Writer:
    """Writes each key with what its finding says, and leaves out what this server does not take."""

    def __init__(self, root: Node, findings: Sequence[Finding]) -> None:
        self._root = root
        self._by_path: dict[Path, Finding] = {finding.path: finding for finding in findings}
        self._needed = {finding.path for finding in findings if finding.now is Verdict.NEEDED}
        self._refused_sources = {
            str(finding.path[1])
            for finding in findings
            if finding.now in (Verdict.REFUSED, Verdict.LACKING)
            and finding.path[0] == "datasources"
            and len(finding.path) == 2
        }

    def lines(self) -> Iterator[str]:
        yield from self._write_mapping((), self._root)

    def _write_mapping(self, path: Path, node: Node) -> Iterator[str]:
        for key, child in node.children():
            yield from self._write_entry((*path, key), child)
        for needed in sorted(self._needed, key=str):
            if self._goes_into(path, needed):
                yield from self._write_new_secret(needed, len(path))

    def _write_entry(self, path: Path, node: Node) -> Iterator[str]:
        finding = self._by_path.get(path)
        if finding is not None and finding.now in _DROPPED:
            yield from _write_left_out(finding)
            return
        if finding is not None:
            yield from _write_remark(finding)
        name = finding.to if finding is not None and finding.to else path[-1]
        if path[0] == "collections" and len(path) == 2:
            yield from self._write_collection(name, path, node)
        else:
            yield from self._write_value(name, path, node)

    def _write_collection(self, name: object, path: Path, node: Node) -> Iterator[str]:
        """One that has lost data sources says which; one that has lost all is left out."""
        listed = (node.child("datasources") or Node([])).items()
        lost = self._find_refused(listed)
        names = ", ".join(dict.fromkeys(map(name_of_source, lost)))
        if not lost:
            yield from self._write_value(name, path, node)
        elif len(lost) == len(listed):
            yield from _write_comment(
                f"{path[-1]}: left out, as it has no data source any more (it had {names}).", True
            )
        else:
            yield from _write_comment(
                f"{path[-1]}: without its data sources {names}, which are left out.", True
            )
            yield from _write_section(name, list(self._write_mapping(path, node)))

    def _write_value(self, name: object, path: Path, node: Node) -> Iterator[str]:
        if node.items():
            yield from self._write_list(name, path, node)
        elif self._has_findings_below(path, node):
            yield from _write_section(name, list(self._write_mapping(path, node)))
        else:
            yield from _write_plain(name, node.plain())

    def _write_list(self, name: object, path: Path, node: Node) -> Iterator[str]:
        """Comments stand before the list, as an entry has no place for them."""
        lost = self._find_refused(node.items()) if is_list_of_sources(path) else []
        kept = [
            self._trim((*path, index), item) for index, item in enumerate(node.items()) if item not in lost
        ]
        for below, finding in self._by_path.items():
            if len(below) > len(path) and below[: len(path)] == path and finding.now in _DROPPED:
                where = dotted(below[len(path) - 1 :])
                yield from _write_left_out(finding, where)
        yield from _write_plain(name, [item.plain() for item in kept])

    def _trim(self, path: Path, node: Node) -> Node:
        """What is within a list, without the keys that are left out."""
        if node.items():
            items = [self._trim((*path, index), item) for index, item in enumerate(node.items())]
            return Node(items, node.origin)
        if not isinstance(node.value, dict):
            return node
        return Node(
            {
                key: self._trim((*path, key), child)
                for key, child in node.children()
                if not self._is_dropped((*path, key))
            },
            node.origin,
        )

    def _is_dropped(self, path: Path) -> bool:
        finding = self._by_path.get(path)
        return finding is not None and finding.now in _DROPPED

    def _find_refused(self, listed: list[Node]) -> list[Node]:
        """Those of a collection's data sources that are left out."""
        return [item for item in listed if name_of_source(item) in self._refused_sources]

    def _has_findings_below(self, path: Path, node: Node) -> bool:
        below = any(len(other) > len(path) and other[: len(path)] == path for other in self._by_path)
        return below and (node.value is None or isinstance(node.value, dict))

    def _goes_into(self, path: Path, needed: Path) -> bool:
        """Whether a key that is needed is written there: in its section or, without that, at the end."""
        return needed[:-1] == path or (not path and self._root.child(needed[0]) is None)

    def _write_new_secret(self, path: Path, depth: int) -> Iterator[str]:
        """A secret made for this file, with those sections around it that are missing."""
        finding = self._by_path[path]
        yield from _write_comment(f"{finding.key}: {finding.text} Made by this command, for this file.", True)
        value = _NEEDED[finding.key](secrets.token_hex(32))
        for name in reversed(path[depth:]):
            value = {name: value}
        yield from _dump_yaml(value)


def _write_left_out(finding: Finding, name: object = None) -> Iterator[str]:
    # Values of the earlier chart are many, and say nothing about the server.
    if finding.now is not Verdict.CHART or finding.decide:
        reason = _REASONS.get(finding.now, "")
        text = f"{name or finding.path[-1]}: left out{reason}. {finding.text}"
        yield from _write_comment(text, finding.decide)


def _write_remark(finding: Finding) -> Iterator[str]:
    if finding.now in (Verdict.CHANGED, Verdict.RENAMED) or finding.decide:
        yield from _write_comment(f"{finding.path[-1]}: {finding.text}", finding.decide)


def _write_section(name: object, lines: list[str]) -> Iterator[str]:
    # A section of comments only is null: it counts as not given.
    yield f"{_format_key(name)}:"
    for line in lines:
        yield f"  {line}"


def _format_key(name: object) -> str:
    return next(_dump_yaml({name: None})).removesuffix(": null")


def _write_comment(text: str, decide: bool) -> Iterator[str]:
    text = f"DECIDE {text}" if decide else text
    yield from textwrap.wrap(text, WIDTH - 10, initial_indent="# ", subsequent_indent="# ")


def _write_plain(name: object, value: Any) -> Iterator[str]:
    yield from _dump_yaml({name: value})


def _dump_yaml(value: Any) -> Iterator[str]:
    yield from dump(value).splitlines()
