"""Makes the back-ends that a configuration names, and checks their keys."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from polytope_server.settings import backends
from polytope_server.settings.nodes import Node, Origin
from polytope_server.settings.problems import ConfigurationError, Report
from polytope_server.settings.section import Section
from polytope_server.settings.values import Backend, chosen


def create_backend(concern: str, section: Backend, data: Path) -> Any:
    """The back-end that a section such as `{"sql": {...}}` names; `data` is the folder of embedded ones.

    Raises :class:`ConfigurationError`.
    """
    report = Report()
    name = chosen_name(report, _tree(concern, section), concern)
    if name is None:
        raise ConfigurationError(report.problems or [f"{concern}: {what_is_missing(concern)}"])
    settings = backend_settings(concern, name, section[name] or {}, f"{concern}.{name}")
    return backends.load(concern, name)(settings, data)


def backend_settings(concern: str, name: str, keys: Mapping[str, Any], path: str) -> BaseModel:
    """The checked keys of a back-end, `type` left out; `path` is where they are, for the message.

    Raises :class:`ConfigurationError`.
    """
    report = Report()
    node = _tree(path, {key: value for key, value in keys.items() if key != "type"})
    settings: BaseModel | None = check_backend(report, concern, name, node)
    if settings is None:
        raise ConfigurationError(report.problems)
    return settings


def section_settings(kind: type[Section], keys: Mapping[str, Any], path: str) -> Any:
    """The checked keys of a section that has another type than its siblings, as an instance of `kind`.

    `path` is where they are, for the message. Raises :class:`ConfigurationError`.
    """
    report = Report()
    settings = report.validated(kind, _tree(path, keys))
    if settings is None:
        raise ConfigurationError(report.problems)
    return settings


def check_backend(
    report: Report,
    concern: str,
    name: str,
    node: Node,
    known: Collection[str] = (),
    *,
    partial: bool = False,
) -> Any:
    """The checked keys of a back-end of that name; None if they are wrong: the report says why.

    `known` are keys that the section has beside those of the back-end, such as `type`. A `partial` section
    may lack keys.
    """
    try:
        kind = backends.load(concern, name).Settings
    except backends.UnknownBackendError as error:
        report.problem(node.child("type") or node, str(error))
        return None
    settings = report.validated(kind, node.without(known).given(), known, partial)
    report.note_idle_keys(kind, node.without(known))
    for warning in getattr(settings, "warnings", list)():
        report.warn(node, warning)
    for refusal in getattr(settings, "refusals", list)():
        report.refuse(node, refusal)
    return settings


def chosen_name(report: Report, section: Node, concern: str) -> str | None:
    """The name of the one back-end of a section; None if there is none, or several, which the report says."""
    names = list(chosen(dict(section.children())) if isinstance(section.value, dict) else ())
    given = [name for name in names if section.value[name].value is not None] or names
    if len(given) < 2:
        return given[0] if given else None
    listed = " and ".join(f"'{name}'" for name in given)
    report.problem(section, f"names {listed}: keep one, and set the other to null in the later file")
    return None


def what_is_missing(concern: str) -> str:
    """The end of the message about a back-end that has no name."""
    return f"is missing; available: {', '.join(backends.names(concern))}"


def _tree(path: str, value: Any) -> Node:
    """Plain values as nodes below `path`."""

    def tree(value: Any, place: tuple[str | int, ...]) -> Node:
        items: Any = value
        if isinstance(value, Mapping):
            items = {key: tree(item, (*place, key)) for key, item in value.items()}
        elif isinstance(value, list):
            items = [tree(item, (*place, index)) for index, item in enumerate(value)]
        return Node(items, Origin("configuration", 0, place))

    return tree(value, tuple(path.split(".")))
