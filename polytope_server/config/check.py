"""Checks the sections that choose back-ends, without creating any."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from polytope_server.settings.creation import check_backend, chosen_name, what_is_missing
from polytope_server.settings.data import (
    AUTH_O_TRON,
    NO_REALMS,
    REALM,
    SECTIONS,
    APIKeysSettings,
    AuthOTronSettings,
    CacheTime,
    RealmSettings,
)
from polytope_server.settings.nodes import Node
from polytope_server.settings.problems import Report


def check_backends(report: Report, root: Node) -> None:
    """Check every section of the configuration that chooses back-ends, except data sources."""
    for concern in SECTIONS:
        section = root.child(concern) or Node({})
        name = chosen_name(report, section, concern)
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
    """The valid section `authentication`, with the defaults of all that is absent or null."""
    return {
        name: keys if name in NO_REALMS else RealmSettings.model_validate(keys or {}).model_dump()
        for name, keys in section.items()
        if name not in NO_REALMS or keys is not None
    }


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
        report.problem(kind or node, what_is_missing(concern), *(() if kind else ("type",)))
    else:
        check_backend(report, concern, kind.value, node, ("type",))
