"""Checks the sections that choose back-ends, without creating any."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from polytope_server import backends
from polytope_server.config.data_settings import APIKeysSettings, AuthOTronSettings, CacheTime, RealmSettings
from polytope_server.config.nodes import Node, Origin
from polytope_server.config.problems import ConfigurationError, Report
from polytope_server.config.section import Section
from polytope_server.config.values import Backend, chosen

#: Sections that name one back-end, and that is all: `request_store: {sql: {...}}`.
SECTIONS = ("request_store", "queue", "notices", "staging", "caching", "metric_store", "identity")
#: What a realm may have, and the concern of its back-ends.
REALM = {"authenticators": "authenticator", "authorizers": "authorizer"}
AUTH_O_TRON = "auth-o-tron"
#: Keys of the section `authentication` that are not the name of a realm.
NO_REALMS = ("cache", AUTH_O_TRON)


def create_backend(concern: str, section: Backend, data: Path) -> Any:
    """The back-end that a section such as `{"sql": {...}}` names; `data` is the folder of embedded ones.

    Raises :class:`ConfigurationError`.
    """
    report = Report()
    name = _one(report, _tree(concern, section), concern)
    if name is None:
        raise ConfigurationError(report.problems or [f"{concern}: {_needed(concern)}"])
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
    """The checked keys of a back-end of that name, or None, and the problems are noted.

    `known` are keys beside its own that are taken out before: the name is then that of the key `type`.
    A `partial` one may lack keys.
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
    return settings


def check_backends(report: Report, root: Node) -> None:
    """Check every section of the configuration that chooses back-ends, except data sources."""
    for concern in SECTIONS:
        section = root.child(concern) or Node({})
        name = _one(report, section, concern)
        if name is not None:
            keys = section.value[name]
            check_backend(report, concern, name, keys)
    keys = (root.child("api-keys") or Node({})).given()
    if report.validated(APIKeysSettings, keys):
        for _, node in keys.children():
            _check_typed(report, "api_key", node)
    for realm, node in (root.child("authentication") or Node({})).given().children():
        _check_realm(report, realm, node)


def normal_authentication(section: Mapping[str, Any]) -> dict[str, Any]:
    """The section `authentication`, which is valid, with nothing left to be absent or null."""
    return {
        name: keys if name in NO_REALMS else RealmSettings.model_validate(keys or {}).model_dump()
        for name, keys in section.items()
        if name not in NO_REALMS or keys is not None
    }


def _one(report: Report, section: Node, concern: str) -> str | None:
    names = list(chosen(dict(section.children())) if isinstance(section.value, dict) else ())
    given = [name for name in names if section.value[name].value is not None] or names
    if len(given) < 2:
        return given[0] if given else None
    listed = " and ".join(f"'{name}'" for name in given)
    report.problem(section, f"names {listed}: keep one, and set the other to null in the later file")
    return None


def _check_realm(report: Report, realm: str, node: Node) -> None:
    if realm == "cache":
        report.validated(CacheTime, node)
    elif realm == AUTH_O_TRON:
        settings = report.validated(AuthOTronSettings, node)
        for warning in settings.warnings() if settings else ():
            report.warn(node, warning)
    elif report.validated(RealmSettings, node):
        for key, concern in REALM.items():
            for _, backend in (node.child(key) or Node({})).children():
                _check_typed(report, concern, backend)


def _check_typed(report: Report, concern: str, node: Node) -> None:
    kind = node.child("type")
    if kind is None or not isinstance(kind.value, str):
        report.problem(kind or node, _needed(concern), *(() if kind else ("type",)))
    else:
        check_backend(report, concern, kind.value, node, ("type",))


def _needed(concern: str) -> str:
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
