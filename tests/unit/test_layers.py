"""Imports run one way: each room of the package imports from the layers below its own only."""

from __future__ import annotations

import ast
import importlib
import warnings
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import polytope_server

PACKAGE = Path(polytope_server.__file__).parent
#: From the ground up: the layers, and the rooms (modules and folders of the package) in each. Rooms of a
#: layer do not import each other, but for the domain, whose modules are one room.
LAYERS: dict[str, tuple[str, ...]] = {
    "constants": ("media_types",),
    "ground": ("redaction", "texts", "back_off"),
    "domain": ("user", "collection", "request", "retry", "roles", "language"),
    "features": ("features", "grids", "schedule"),
    "settings": ("settings",),
    "runtime": ("runtime", "secrets"),
    "drivers": ("drivers",),
    "concerns": ("request_store", "queue", "notices", "staging", "caching", "metric_store"),
    "sources and HTTP": ("datasource", "http", "questions"),
    "accounts": ("accounts",),
    "authorization": ("authorization",),
    "authentication": ("authentication",),
    "config": ("config",),
    "processes": ("frontend", "broker", "worker", "garbage_collector", "object_store", "grid_service"),
    "commands": ("commands",),
}
#: Contract tests for plug-ins, which import what they test, and are imported by no other room.
TESTING = "testing"
#: Names that modules had before, for plug-ins: each says where it is now.
ALIASES = {
    "identity": "accounts.users",
    "api_keys": "accounts.api_keys",
    "backends": "settings.backends",
    "schema_version": "drivers.schema_version",
}
LEVELS = {room: level for level, rooms in enumerate(LAYERS.values()) for room in rooms}


def modules() -> dict[str, Path]:
    """All modules of the package by their names, without that of the package."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path, names: set[str]) -> Iterator[str]:
    """The modules of the package that one imports, anywhere in its text."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in found:
            package, _, rest = name.partition(".")
            if package == "polytope_server":
                yield rest if rest in names else rest.rpartition(".")[0]


@cache
def graph() -> dict[str, set[str]]:
    """What each module of the package imports of it."""
    paths = modules()
    names = set(paths)
    return {name: set(imports(path, names)) - {name} for name, path in paths.items()}


def room(module: str) -> str:
    return module.partition(".")[0]


def level(module: str) -> int:
    """The height of the layer of a module. What `python -m` runs is a command, wherever it stands."""
    return LEVELS["commands"] if module.endswith("__main__") else LEVELS[room(module)]


def test_each_room_is_in_a_layer() -> None:
    rooms = {room(module) for module in graph()} - {"", "__main__"}
    assert rooms == {*LEVELS, *ALIASES, TESTING}


def test_imports_run_down() -> None:
    domain = LEVELS["user"]
    wrong = [
        f"{module} imports {imported}"
        for module, found in graph().items()
        if module and room(module) not in ALIASES and room(module) != TESTING
        for imported in found - {""}
        if room(imported) != room(module) or module.endswith("__main__")
        if room(imported) in {TESTING, *ALIASES}
        or level(imported) > level(module)
        or (level(imported) == level(module) != domain and not module.endswith("__main__"))
    ]
    assert not wrong


def test_no_modules_import_each_other_in_a_circle() -> None:
    try:
        list(TopologicalSorter(graph()).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize(("old", "new"), ALIASES.items())
def test_a_module_that_moved_is_found_under_its_old_name_and_warns(old: str, new: str) -> None:
    module = importlib.import_module(f"polytope_server.{new}")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        alias = importlib.reload(importlib.import_module(f"polytope_server.{old}"))
    assert f"polytope_server.{old} is polytope_server.{new} now" in {str(one.message) for one in caught}
    public = [name for name in vars(module) if not name.startswith("_")]
    assert all(getattr(alias, name) is getattr(module, name) for name in public)


def test_the_page_on_the_architecture_draws_these_layers() -> None:
    page = (Path(__file__).parents[2] / "docs" / "architecture.md").read_text()
    drawn = "\n".join(f"{name:17} {' '.join(rooms)}" for name, rooms in reversed(LAYERS.items()))
    assert f"```\n{drawn}\n```" in page
