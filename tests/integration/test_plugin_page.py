"""The package of docs/plugins.md, built, installed, tested, configured and run as the page says."""

from __future__ import annotations

import importlib
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from polytope_server.settings.backends import BUILT_IN, GROUPS
from testbed.server import StandaloneServer

PAGE = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text()
_FILE = re.compile(r"^`(almanac/[\w./]+)`[^`]*?\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_ROW = re.compile(r"^\| `(\w+)` \|.*\| `([\w.]+)` \| (.*) \|$", re.MULTILINE)


def block(language: str, word: str) -> str:
    """The one block of code with that word."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    (found,) = (text for text in blocks if word in text)
    return str(found)


class Author:
    """Works in a folder, in an environment that has the package as it was built."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.site = folder, folder / "site"

    def run(self, *command: str, **variables: str) -> str:
        # Its scripts are those of the environment of the tests.
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "PYTHONPATH": str(self.site), **variables}
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def author(tmp_path_factory: pytest.TempPathFactory) -> Author:
    folder = tmp_path_factory.mktemp("author")
    found = Author(folder)
    files = _FILE.findall(PAGE)
    assert len(files) == 3
    for name, text in [*files, ("almanac/almanac/__init__.py", "")]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    found.run(sys.executable, "-m", *shlex.split(block("sh", "pip wheel")))
    (wheel,) = (folder / "wheels").iterdir()
    # Not into the environment of the tests, which others use at the same time.
    found.run(sys.executable, "-m", "pip", "install", "--no-deps", "--target", str(found.site), str(wheel))
    (folder / "config.yaml").write_text(block("yaml", "datasources"))
    return found


def test_the_package_keeps_the_contract(author: Author) -> None:
    _, test = block("sh", "pip install").splitlines()
    assert re.search(r"\d+ passed", author.run(*shlex.split(test), "-p", "no:cacheprovider"))


def test_its_configuration_is_accepted(author: Author) -> None:
    check, _ = block("sh", "config check").splitlines()
    assert author.run(*shlex.split(check)).splitlines()[-1] == "ok"


def test_a_server_with_it_answers(author: Author, tmp_path: Path) -> None:
    config = yaml.safe_load(block("yaml", "datasources"))
    pages = author.folder / "pages"
    pages.write_bytes(os.urandom(2 * 4096))
    config["datasources"]["pages"]["path"] = str(pages)
    with StandaloneServer(tmp_path, config, variables={"PYTHONPATH": str(author.site)}) as server:
        calls = block("sh", "curl").replace(":5000/", f":{server.port}/")
        author.run("bash", "-euo", "pipefail", "-c", f"{calls.rstrip()} > page", no_proxy="127.0.0.1")
    assert (author.folder / "page").read_bytes() == pages.read_bytes()[:4096]


def test_the_table_has_all_groups_with_their_classes() -> None:
    rows = _ROW.findall(PAGE)
    groups = {GROUPS.get(concern, f"polytope_server.{concern}s") for concern in BUILT_IN}
    assert {f"polytope_server.{group}" for group, _, _ in rows} == groups
    for _, path, contracts in rows:
        module, _, name = path.rpartition(".")
        assert hasattr(importlib.import_module(f"polytope_server.{module}"), name)
        for contract in re.findall(r"`(\w+)`", contracts):
            assert contract in _contracts()


def _contracts() -> set[str]:
    folder = Path(__file__).parents[2] / "polytope_server" / "testing"
    return {
        name
        for file in folder.glob("[a-z]*.py")
        for name in vars(importlib.import_module(f"polytope_server.testing.{file.stem}"))
        if name.endswith("Contract")
    }
