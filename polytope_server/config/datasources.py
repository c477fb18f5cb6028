"""Data sources of collections: inheritance and overrides resolved, then checked."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from typing import Any

from polytope_server.collection import DataSourceConfig
from polytope_server.datasource.factory import GENERIC_KEYS
from polytope_server.language import CoercionRules, SourceRules, validate_source
from polytope_server.settings import backends
from polytope_server.settings.creation import check_backend
from polytope_server.settings.data import DataSourceSection
from polytope_server.settings.nodes import Node, merge
from polytope_server.settings.problems import Report, suggestion


class DataSources:
    """The sections below `datasources`, and what collections make of them."""

    def __init__(self, report: Report, root: Node, coercion: CoercionRules) -> None:
        sections = root.child("datasources") or Node({})
        self._report = report
        self._coercion = coercion
        self._sections = {
            name: Node(node.value or {}, node.origin)
            for name, node in sections.children()
            if _is_section(name, node)
        }
        self._used: set[str] = set()
        self._parents = {parent for node in self._sections.values() for _, parent in _parents(node)}

    def of_collection(self, items: Node) -> tuple[DataSourceConfig, ...]:
        """The effective data sources of the list `collections.<name>.datasources`; mistakes are reported.

        One that is listed twice (with different overrides) gets a number behind its name the second time,
        because a request keeps the name of the one that serves it.
        """
        found: list[DataSourceConfig] = []
        for item in items.items():
            config = self._of_item(item, {source.name for source in found})
            if config is not None:
                found.append(config)
        return tuple(found)

    def check_unused(self) -> None:
        """Check those that no collection uses: a package that only they need is no error, but a warning."""
        for name, section in self._sections.items():
            self._report.validated(DataSourceSection, section.only(("parents",)))
            self._report.note_idle_keys(DataSourceSection, section)
            if name not in self._used:
                self._check_unused(name, section)

    def _of_item(self, item: Node, taken: set[str]) -> DataSourceConfig | None:
        overrides = item if isinstance(item.value, dict) else Node({}, item.origin)
        label = overrides.child("name") or item
        name = label.value
        if not isinstance(name, str) or not name:
            self._report.problem(item, "is missing: the name of a data source", "name")
            return None
        section = self._sections.get(name)
        if section is None and overrides.child("type") is None:
            self._report.problem(label, f"no data source '{name}'; {suggestion(name, self._sections)}")
            return None
        self._used.add(name)
        self._report.validated(DataSourceSection, overrides.only(("parents",)))
        effective = self._resolved((name,), *(part for part in (section, overrides) if part and part.value))
        kind = effective.child("type")
        if kind is None or not isinstance(kind.value, str):
            available = ", ".join(backends.names("datasource"))
            place = kind or (effective if effective.value else item)
            self._report.problem(place, f"is missing; available: {available}", *(() if kind else ("type",)))
            return None
        generic = self._generic(effective)
        check_backend(self._report, "datasource", kind.value, effective, GENERIC_KEYS)
        keys = {**effective.plain(), **generic, "name": name}
        return DataSourceConfig(_make_unique(name, taken), kind.value, keys)

    def _resolved(self, trail: tuple[str, ...], *parts: Node) -> Node:
        """The parts on top of each other, and all of that on top of their parents."""
        inherited = [
            self._resolved((*trail, name), self._sections[name])
            for part in parts
            for place, name in _parents(part)
            if self._may_inherit(place, name, trail)
        ]
        return reduce(merge, [*inherited, *(part.without(("parents",)) for part in parts)], Node({})).given()

    def _may_inherit(self, place: Node, name: str, trail: tuple[str, ...]) -> bool:
        if name in trail:
            self._report.problem(place, f"parents form a circle: {' -> '.join((*trail, name))}")
        elif name not in self._sections:
            self._report.problem(place, f"no data source '{name}'; {suggestion(name, self._sections)}")
        return name in self._sections and name not in trail

    def _generic(self, effective: Node) -> dict[str, Any]:
        """The keys that every data source may have, checked, as typed values."""
        keys = self._report.validated(DataSourceSection, effective.only(GENERIC_KEYS))
        if keys is None:
            return {}
        rules = SourceRules(
            match=keys.match,
            defaults=keys.defaults,
            patch=keys.patch,
            **_find_dialect(effective.child("type")),
        )
        for problem in validate_source(rules, self._coercion):
            part, _, text = problem.partition(": ")
            self._report.problem(_find_place(effective, part, text), text)
        generic: dict[str, Any] = keys.model_dump(exclude_unset=True)
        return generic

    def _check_unused(self, name: str, section: Node) -> None:
        effective = self._resolved((name,), section)
        self._generic(effective)
        kind = effective.child("type")
        if kind is None or not isinstance(kind.value, str):
            return
        if absence := _why_unavailable(kind.value):
            # Harmless, as no collection uses it.
            self._report.warn(kind, absence)
        else:
            # Data sources that inherit from it may have the keys that it lacks.
            partial = name in self._parents
            check_backend(self._report, "datasource", kind.value, effective, GENERIC_KEYS, partial=partial)


def _is_section(name: Any, node: Node) -> bool:
    return isinstance(name, str) and (node.value is None or isinstance(node.value, dict))


def _parents(node: Node) -> Iterator[tuple[Node, str]]:
    """Place and name of each parent."""
    for place in (node.child("parents") or Node([])).items():
        if isinstance(place.value, str):
            yield place, place.value


def _find_place(effective: Node, part: str, text: str) -> Node:
    """The key of `match`, `defaults` or `patch` that the text names, else the section."""
    section = effective.child(part) or effective
    quoted = text.split("'")
    named = (child for key, child in section.children() if str(key).lower() in quoted[1:2])
    return next(named, section)


def _find_dialect(kind: Node | None) -> dict[str, Any]:
    """What the class of a data source says about its requests; one that is not known takes all."""
    try:
        found = backends.load("datasource", str(kind.value) if kind else "")
    except backends.UnknownBackendError:
        return {"accepts_mappings": True}
    return {
        "accepts_mappings": found.accepts_mappings,
        "accepts_feature": found.accepts_feature,
        "aliases": found.aliases,
    }


def _why_unavailable(kind: str) -> str:
    """Why a known type is unavailable: not part of this version, or not installed. Empty for all others."""
    known = {*backends.NOT_BUILT.get("datasource", ()), *backends.BUILT_IN["datasource"]}
    try:
        backends.load("datasource", kind)
    except backends.UnknownBackendError as error:
        return str(error) if kind in known else ""
    return ""


def _make_unique(name: str, taken: set[str]) -> str:
    names = (name if number == 1 else f"{name}-{number}" for number in range(1, len(taken) + 2))
    return next(candidate for candidate in names if candidate not in taken)
