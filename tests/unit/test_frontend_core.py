"""The core of the frontend knows no API: what a submission means depends on no framework and no route."""

from __future__ import annotations

import ast
from functools import cache

import pytest
from test_layers import graph, modules

#: Modules of `frontend` that belong to HTTP, beside the APIs.
HTTP = {"app", "proxy", "server", "concurrency", "__main__"}
#: The folders of APIs.
APIS = {"v1"}
#: What none of the core may import, not even by way of others.
FRAMEWORKS = {"falcon", "gunicorn", "uvicorn"}

PATHS = modules()
CORE = sorted(
    name for name in PATHS if name.startswith("frontend.") and name.split(".")[1] not in HTTP | APIS
)


def reached(module: str) -> set[str]:
    """The modules of the package that one imports, itself or by way of others."""
    found, ahead = {module}, [module]
    while ahead:
        new = graph()[ahead.pop()] - found
        found |= new
        ahead += new
    return found - {""}


@cache
def imported_packages(module: str) -> set[str]:
    """The packages that a module names in its imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(PATHS[module].read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


def test_the_core_is_found() -> None:
    assert {f"frontend.{name}" for name in ("submission", "polling", "lists", "revocation")} <= {*CORE}


@pytest.mark.parametrize("module", CORE)
def test_the_core_imports_no_framework_and_no_api(module: str) -> None:
    wrong = {
        name
        for name in reached(module)
        if name.startswith(tuple(f"frontend.{api}" for api in APIS)) or FRAMEWORKS & imported_packages(name)
    }
    assert not wrong
