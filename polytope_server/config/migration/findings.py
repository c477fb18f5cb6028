"""What becomes of each key of one configuration."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from polytope_server.config.migration.rules import Rule, Step, Verdict, find, goes_below, table
from polytope_server.settings.nodes import Node, Origin
from polytope_server.settings.problems import dotted, keys_of, suggestion
from polytope_server.settings.root import Settings

Path = tuple[str | int, ...]
Steps = tuple[Step, ...]

#: What is said of a section as a whole, so that nothing is said of its keys.
_OF_A_WHOLE_SECTION = (Verdict.REFUSED, Verdict.RENAMED, Verdict.CHART)


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
    return [*_Walk(root).judge_keys(root, (), (), None), *_find_missing(root)]


def with_left_out(
    root: Node, findings: list[Finding], now: Verdict, reasons: Mapping[str, str]
) -> list[Finding]:
    """The findings, with those keys as ones to leave out: `reasons` says why of each, as it is shown."""
    left_out = [
        Finding(path, now, reasons[dotted(path)], decide=True, origin=node.origin)
        for path, node in _all_keys(root, ())
        if dotted(path) in reasons
    ]
    return replaced(findings, left_out)


def replaced(findings: Sequence[Finding], by: Sequence[Finding]) -> list[Finding]:
    """The findings, others in place of those about the same keys."""
    paths = {finding.path for finding in by}
    return [*(finding for finding in findings if finding.path not in paths), *by]


def is_list_of_sources(path: Path) -> bool:
    """Whether it is the path of `collections.<name>.datasources`."""
    return len(path) == 3 and path[0] == "collections" and path[2] == "datasources"


def name_of_source(item: Node) -> str:
    """The name of a data source in the list of a collection: `name`, or `{name: name, ...}`."""
    name = item.child("name") if isinstance(item.value, dict) else item
    return str(name.value) if name is not None else ""


def _all_keys(node: Node, path: Path) -> Iterator[tuple[Path, Node]]:
    for key, child in (*node.children(), *enumerate(node.items())):
        yield (*path, key), child
        yield from _all_keys(child, (*path, key))


class _Walk:
    """Goes through a configuration from its root to its values, and finds the rule for each key."""

    def __init__(self, root: Node) -> None:
        self._sources = root.child("datasources") or Node({})

    def judge_keys(self, node: Node, path: Path, steps: Steps, inherited: Rule | None) -> Iterator[Finding]:
        """What becomes of the keys of a mapping; `inherited` is the rule of the nearest key above."""
        for key, child in node.children():
            step = self._make_step(str(key), child, steps)
            yield from self._judge_key(child, (*path, key), (*steps, step), inherited)

    def _judge_key(self, node: Node, path: Path, steps: Steps, inherited: Rule | None) -> Iterator[Finding]:
        own = find(steps, isinstance(node.value, dict))
        rule = own or inherited
        if rule is None and _is_unknown_section(path):
            yield _unknown_section(node, path)
        elif own is not None and own.now in _OF_A_WHOLE_SECTION:
            yield _apply_rule(node, path, own)
        elif _has_keys(node) and goes_below(steps):
            yield from self._judge_section(node, path, steps, own, inherited)
        elif rule is not None:
            yield _apply_rule(node, path, rule)
            yield from self._judge_overrides(node, path)
        elif _has_keys(node):
            yield from self.judge_keys(node, path, steps, None)
        else:
            yield Finding(path, Verdict.OWN, origin=node.origin)

    def _judge_section(
        self, node: Node, path: Path, steps: Steps, own: Rule | None, inherited: Rule | None
    ) -> Iterator[Finding]:
        """A section some of whose keys have rules: its own rule counts for the others."""
        rule = own or inherited
        if own is not None and own.now is Verdict.CHANGED:
            yield _apply_rule(node, path, own)
            # Its text is said once, not again for each key.
            rule = replace(own, now=Verdict.SAME, text="", decide=False)
        yield from self.judge_keys(node, path, steps, rule)

    def _judge_overrides(self, node: Node, path: Path) -> Iterator[Finding]:
        """What a collection says of its data sources, as if it stood with the data source itself."""
        for index, item in enumerate(node.items() if is_list_of_sources(path) else ()):
            if isinstance(item.value, dict):
                name = name_of_source(item)
                steps = (Step("datasources"), Step(name, _read_type(item) or self._find_type(name, ())))
                yield from self.judge_keys(item, (*path, index), steps, None)

    def _make_step(self, name: str, node: Node, above: Steps) -> Step:
        if [step.name for step in above] == ["datasources"]:
            return Step(name, self._find_type(name, ()))
        return Step(name, _read_type(node))

    def _find_type(self, name: str, seen: tuple[str, ...]) -> str:
        """The type of a data source: its own, else that of a parent or, for a mere parent, of a child."""
        return self._find_own_type(name, seen) or self._find_type_of_children(name, ())

    def _find_own_type(self, name: str, seen: tuple[str, ...]) -> str:
        section = self._sources.child(name)
        if section is None or name in seen:
            return ""
        inherited = (self._find_own_type(parent, (*seen, name)) for parent in reversed(_parents(section)))
        return _read_type(section) or next(filter(None, inherited), "")

    def _find_type_of_children(self, name: str, seen: tuple[str, ...]) -> str:
        """One that this server has: what is for the others must not take the keys from this one."""
        children = [
            str(child)
            for child, section in self._sources.children()
            if name in _parents(section) and child not in seen
        ]
        types = [self._find_own_type(child, ()) for child in children]
        below = (self._find_type_of_children(child, (*seen, name)) for child in children)
        return next((kind for kind in (*types, *below) if kind and not _is_refused(kind)), "")


def _parents(section: Node) -> list[str]:
    return [str(parent.value) for parent in (section.child("parents") or Node([])).items()]


def _is_refused(kind: str) -> bool:
    rule = find((Step("datasources"), Step("", kind)), True)
    return rule is not None and rule.now is Verdict.REFUSED


def _has_keys(node: Node) -> bool:
    return isinstance(node.value, dict) and bool(node.value)


def _read_type(node: Node) -> str:
    kind = node.child("type") if isinstance(node.value, dict) else None
    return kind.value if kind is not None and isinstance(kind.value, str) else ""


def _is_unknown_section(path: Path) -> bool:
    return len(path) == 1 and path[0] not in keys_of(Settings)


def _unknown_section(node: Node, path: Path) -> Finding:
    meant = suggestion(str(path[0]), keys_of(Settings))
    return Finding(path, Verdict.UNKNOWN, meant, decide=True, origin=node.origin)


def _apply_rule(node: Node, path: Path, rule: Rule) -> Finding:
    if rule.value and not re.search(rule.value, str(node.value)):
        return Finding(path, Verdict.SAME, origin=node.origin)
    return Finding(path, rule.now, rule.text, rule.to, rule.needs_decision_for(node), node.origin)


def _find_missing(root: Node) -> Iterator[Finding]:
    for rule in table():
        path = tuple(rule.key.split("."))
        if root.child(*path) is not None:
            continue
        if rule.absent:
            yield Finding(path, Verdict.ABSENT, rule.absent)
        section = _find_section(root, rule.section)
        if rule.now is Verdict.NEEDED and section is not None and _find_section(root, rule.unless) is None:
            yield Finding(path, rule.now, rule.text, decide=True, origin=section.origin)


def _find_section(root: Node, key: str) -> Node | None:
    return root.child(*key.split(".")) if key else None
