"""The table of what becomes of an earlier server's keys, and how a key is found in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

import yaml

from polytope_server.settings.nodes import Node


class Verdict(StrEnum):
    """What becomes of a key; those of the table are explained at the top of `rules.yaml`."""

    REFUSED = "refused"
    NEEDED = "needed"
    UNKNOWN = "unknown"  #: neither the earlier server nor this one has it
    LACKING = "lacking"  #: known, but `config check` does not accept what is there
    CHART = "chart"
    CHANGED = "changed"
    RENAMED = "renamed"
    IDLE = "idle"
    ABSENT = "absent"  #: it is not given, and its default is another one
    OWN = "own"  #: not a key of the earlier server, but one of this server
    SAME = "same"


class Step(NamedTuple):
    """One key on the way to a value, and the type of the section that it names, if that has one."""

    name: str
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """A line of the table: `section` is `with`, the others are called as there."""

    key: str
    now: Verdict
    text: str = ""
    to: str = ""
    decide: bool = False
    only: str = ""
    section: str = ""
    unless: str = ""
    value: str = ""
    where: str = ""
    absent: str = ""

    @property
    def steps(self) -> list[tuple[str, str]]:
        """Name and type of each step of the key; `*` is any name, and no type any type."""
        return [(name, kind) for name, _, kind in (step.partition(":") for step in self.key.split("."))]

    @property
    def needs_decision(self) -> bool:
        """Whether a person must do something where the key is given (or, if `needed`, missing)."""
        return self.decide or self.now in (Verdict.REFUSED, Verdict.NEEDED)

    def needs_decision_for(self, section: Node) -> bool:
        """The same for what is given: a `where` names a key of the section that must say something."""
        key = section.child(self.where) if self.where else section
        return self.needs_decision and key is not None and bool(key.value or not self.where)


@cache
def table() -> tuple[Rule, ...]:
    """All rules, in the order in which they are shown."""
    text = resources.files(__package__).joinpath("rules.yaml").read_text(encoding="utf-8")
    return tuple(_rule(**line) for line in yaml.safe_load(text))


def _rule(now: str, **keys: Any) -> Rule:
    return Rule(now=Verdict(now), section=keys.pop("with", ""), **keys)


def find(path: Sequence[Step], is_mapping: bool) -> Rule | None:
    """The rule for exactly this key, the one that says most of several; None if there is none."""
    found = [
        rule
        for rule in table()
        if rule.now is not Verdict.NEEDED
        and len(rule.steps) == len(path)
        and _agree(rule, path)
        and (is_mapping or rule.only != "mapping")
    ]
    return max(found, key=_weight, default=None)


def is_of_earlier_chart(section: str) -> bool:
    """Whether a section of that name is in the values of the earlier chart, and concerns the chart only."""
    rule = find((Step(section),), True)
    return rule is not None and rule.now is Verdict.CHART


def goes_below(path: Sequence[Step]) -> bool:
    """Whether there are rules for keys below this one."""
    return any(len(rule.steps) > len(path) and _agree(rule, path) for rule in table())


def _agree(rule: Rule, path: Sequence[Step]) -> bool:
    return all(
        name in ("*", step.name) and kind in ("", step.kind)
        for (name, kind), step in zip(rule.steps, path, strict=False)
    )


def _weight(rule: Rule) -> tuple[int, int]:
    return sum(bool(kind) for _, kind in rule.steps), sum(name != "*" for name, _ in rule.steps)
