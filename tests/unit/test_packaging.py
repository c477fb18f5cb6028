"""What pyproject.toml declares is what the code imports, and what a build and the documentation need."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from polytope_server.settings.packages import package_of

ROOT = Path(__file__).parents[2]
DECLARED: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = DECLARED["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
OWN = {"polytope_server", "polytope_demonstration", "testbed", "benchmarks"}
INSTALLED = packages_distributions()
#: Libraries of which private parts are used. A minor version may change these.
PRIVATE = {
    "botocore": "its signatures and sessions are called by themselves",
    "eccodes": "gribapi.bindings is imported",
    "gunicorn": "its arbiter starts the processes",
    "pika": "_terminate_stream",
    "pyfdb": "the library inside has the same version",
    "uvicorn": "HttpToolsProtocol is inherited",
    "uvicorn-worker": "UvicornWorker._serve is overridden",
}


def imports(file: Path) -> set[str]:
    """The packages of others that a file imports, by the names of their modules."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None and not node.level:
            found.add(node.module.partition(".")[0])
    return found - sys.stdlib_module_names - OWN


def packages(texts: Iterable[str]) -> set[str]:
    """The names of what requirements ask for, with the project's own extras taken apart."""
    found = set()
    for requirement in map(Requirement, texts):
        if requirement.name == PROJECT["name"]:
            found |= packages(text for extra in requirement.extras for text in EXTRAS[extra])
        else:
            found.add(canonicalize_name(requirement.name))
    return found


def distributions(module: str) -> frozenset[str]:
    """The installed packages that have a module, by their names on the index."""
    return frozenset(map(canonicalize_name, INSTALLED.get(module, [module])))


ALWAYS = packages(PROJECT["dependencies"])
#: The server itself needs no tool of development.
FOR_OPERATION = [extra for extra in EXTRAS if extra not in ("dev", "demo")]
FILES = sorted((ROOT / "polytope_server").rglob("*.py"))


def test_what_a_file_of_the_server_imports_comes_with_it_or_with_one_extra() -> None:
    undeclared = {}
    for file in FILES:
        optional = {package_of(module) for module in imports(file)} - ALWAYS
        if not any(optional <= packages(EXTRAS[extra]) for extra in FOR_OPERATION):
            undeclared[str(file.relative_to(ROOT))] = optional
    assert undeclared == {}


def test_what_the_demonstration_imports_comes_with_its_extra() -> None:
    declared = ALWAYS | packages(EXTRAS["demo"])
    imported = {name for file in (ROOT / "polytope_demonstration").rglob("*.py") for name in imports(file)}
    assert {name for name in imported if not distributions(name) & declared} == set()


@pytest.mark.parametrize("folder", ["testbed", "benchmarks", "tests", "requirements", "polytope-deployment"])
def test_what_tests_and_tools_import_comes_with_the_extra_for_development(folder: str) -> None:
    files = list((ROOT / folder).rglob("*.py"))
    beside = {file.stem for file in files}
    imported = {name for file in files for name in imports(file)} - beside
    groups = [text for texts in DECLARED["dependency-groups"].values() for text in texts]
    declared = ALWAYS | packages(EXTRAS["dev"]) | packages(groups)
    assert {name for name in imported if not distributions(name) & declared} == set()


def test_messages_name_packages_as_the_index_does() -> None:
    imported = {name for file in FILES for name in imports(file)}
    wrong = {name: package_of(name) for name in imported if package_of(name) not in distributions(name)}
    assert wrong == {}


@pytest.mark.parametrize("name", PRIVATE)
def test_a_library_whose_private_parts_are_used_has_an_upper_bound(name: str) -> None:
    texts = [*PROJECT["dependencies"], *(text for extra in EXTRAS.values() for text in extra)]
    declared = [found for found in map(Requirement, texts) if found.name == name]
    assert declared
    for requirement in declared:
        bounds = [Version(one.version) for one in requirement.specifier if one.operator == "<"]
        assert bounds, f"{requirement} has no upper bound: {PRIVATE[name]}"


def test_the_licence_is_an_spdx_expression_with_its_file() -> None:
    assert PROJECT["license"] == "Apache-2.0"
    assert [(ROOT / name).is_file() for name in PROJECT["license-files"]] == [True]
    # With an expression a build refuses these.
    assert [name for name in PROJECT["classifiers"] if name.startswith("License ::")] == []
    (setuptools,) = map(Requirement, DECLARED["build-system"]["requires"])
    assert not setuptools.specifier.contains("76.1"), "it does not know this form"


def test_the_page_for_operators_lists_all_extras() -> None:
    page = (ROOT / "docs" / "operators" / "install.md").read_text()
    table = page.partition("| extra |")[2].partition("\n\n")[0]
    rows = dict(re.findall(r"^\| `([a-z0-9-]+)` \|.*\| (.*?) \|$", table, re.MULTILINE))
    assert list(rows) == list(EXTRAS)
    for extra, texts in EXTRAS.items():
        named = set(re.findall(r"`([^`]+)`", rows[extra]))
        wanted = set()
        for requirement in map(Requirement, texts):
            wanted |= requirement.extras if requirement.name == PROJECT["name"] else {requirement.name}
        assert named == wanted or extra == "dev", f"the row of {extra}"
