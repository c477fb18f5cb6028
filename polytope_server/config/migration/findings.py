"""What becomes of each key of one configuration."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from polytope_server.config.migration.rules import Rule, Step, Verdict, find, goes_below, table
from polytope_server.settings.nodes import Node, Origin
from polytope_server.settings.problems import dotted, keys_of, suggestion
from polytope_server.settings.root import Settings

Path = tuple[str | int, ...]
Steps = tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """One key: `path` is where it is in the merged configuration, `origin` where it was written."""

    path: Path
    now: Verdict
    text: str = ""
    to: str = ""
    decide: bool = False
    origin: Origin | None = None

    @property
    def key(self) -> str:
        """The path as it is shown."""
        return dotted(self.path)


def examine(root: Node) -> list[Finding]:
    """The findings about a configuration, in its order, and after them what it lacks."""
    return [*_Walk(root).below(root, (), (), None), *_missing(root)]


def with_unknown(root: Node, findings: list[Finding], meant: Mapping[str, str]) -> list[Finding]:
    """The findings, with those keys as unknown ones: `meant` says what each, as it is shown, may mean."""
    unknown = [
        Finding(path, Verdict.UNKNOWN, meant[dotted(path)], decide=True, origin=node.origin)
        for path, node in _keys(root, ())
        if dotted(path) in meant
    ]
    known = {finding.path for finding in unknown}
    return [*(finding for finding in findings if finding.path not in known), *unknown]


def _keys(node: Node, path: Path) -> Iterator[tuple[Path, Node]]:
    for key, child in node.children():
        yield (*path, key), child
        yield from _keys(child, (*path, key))


class _Walk:
    def __init__(self, root: Node) -> None:
        self._sources = root.child("datasources") or Node({})

    def below(self, node: Node, path: Path, steps: Steps, rule: Rule | None) -> Iterator[Finding]:
        """What becomes of the keys of a mapping; `rule` is that of the nearest key above."""
        for key, child in node.children():
            yield from self._visit(child, (*path, key), (*steps, self._step(str(key), child, steps)), rule)

    def _visit(self, node: Node, path: Path, steps: Steps, above: Rule | None) -> Iterator[Finding]:
        own = find(steps, isinstance(node.value, dict))
        rule = own or above
        if len(path) == 1 and rule is None and path[0] not in keys_of(Settings):
            told = suggestion(str(path[0]), keys_of(Settings))
            yield Finding(path, Verdict.UNKNOWN, told, decide=True, origin=node.origin)
        elif own is not None and own.now in (Verdict.REFUSED, Verdict.RENAMED):
            yield _finding(node, path, own)
        elif isinstance(node.value, dict) and node.value and goes_below(steps):
            if own is not None and own.now is Verdict.CHANGED:
                yield _finding(node, path, own)
                rule = replace(own, now=Verdict.SAME, text="", decide=False)
            yield from self.below(node, path, steps, rule)
        elif rule is not None:
            yield _finding(node, path, rule)
            yield from self._overrides(node, path, steps)
        elif isinstance(node.value, dict) and node.value:
            yield from self.below(node, path, steps, rule)
        else:
            yield Finding(path, Verdict.OWN, origin=node.origin)

    def _overrides(self, node: Node, path: Path, steps: Steps) -> Iterator[Finding]:
        """What a collection says of its data sources, as if it stood with the data source itself."""
        is_list = [step.name for step in steps[::2]] == ["collections", "datasources"]
        for index, item in enumerate(node.value if is_list and isinstance(node.value, list) else ()):
            if isinstance(item.value, dict):
                name = str(getattr(item.child("name"), "value", ""))
                section = (Step("datasources"), Step(name, _type(item) or self._type_of_source(name, ())))
                yield from self.below(item, (*path, index), section, None)

    def _step(self, name: str, node: Node, above: Steps) -> Step:
        if [step.name for step in above] == ["datasources"]:
            return Step(name, self._type_of_source(name, ()))
        return Step(name, _type(node))

    def _type_of_source(self, name: str, seen: tuple[str, ...]) -> str:
        """The type of a data source: its own, else that of the last parent that has one."""
        section = self._sources.child(name)
        if section is None or name in seen:
            return ""
        parents = getattr(section.child("parents"), "value", None)
        names = [str(parent.value) for parent in parents] if isinstance(parents, list) else []
        inherited = (self._type_of_source(parent, (*seen, name)) for parent in reversed(names))
        return _type(section) or next(filter(None, inherited), "")


def _type(node: Node) -> str:
    kind = node.child("type") if isinstance(node.value, dict) else None
    return kind.value if kind is not None and isinstance(kind.value, str) else ""


def _finding(node: Node, path: Path, rule: Rule) -> Finding:
    if rule.value and not re.search(rule.value, str(node.value)):
        return Finding(path, Verdict.SAME, origin=node.origin)
    return Finding(path, rule.now, rule.text, rule.to, rule.needs_decision, node.origin)


def _missing(root: Node) -> Iterator[Finding]:
    for rule in table():
        path = tuple(rule.key.split("."))
        if root.child(*path) is not None:
            continue
        if rule.absent:
            yield Finding(path, Verdict.ABSENT, rule.absent)
        section = _at(root, rule.section)
        if rule.now is Verdict.NEEDED and section is not None and _at(root, rule.unless) is None:
            yield Finding(path, rule.now, rule.text, decide=True, origin=section.origin)


def _at(root: Node, key: str) -> Node | None:
    return root.child(*key.split(".")) if key else None
