"""A plug-in on top of an image, by the recipe of docs/operators/images.md."""

from __future__ import annotations

import json
import re
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from containers import HARDENED, engine, image, run

DOCS = Path(__file__).parents[2] / "docs"
WHEEL = {
    "almanac-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: almanac\nVersion: 1.0\n"
    "Requires-Dist: polytope-server\n",
    "almanac-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "almanac-1.0.dist-info/RECORD": "",
    "almanac/__init__.py": "",
}
CONFIG = {
    "authentication": {"site": {"authenticators": {"anyone": {"type": "anonymous"}}}},
    "datasources": {"pages": {"type": "almanac", "path": "/srv/almanac"}},
    "collections": {"pages": {"roles": {"site": ["default"]}, "datasources": ["pages"]}},
}


def blocks(page: str, language: str) -> list[str]:
    """The blocks of code of a page in a language."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module", params=["common", "worker"])
def extended(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An image with the data source of docs/plugins.md, made without any index."""
    context = tmp_path_factory.mktemp("context")
    (code,) = (block for block in blocks("plugins.md", "python") if "class AlmanacDataSource(" in block)
    (project,) = (tomllib.loads(block)["project"] for block in blocks("plugins.md", "toml"))
    entry_points = "".join(
        f"[{group}]\n{name} = {target}\n"
        for group, points in project["entry-points"].items()
        for name, target in points.items()
    )
    (context / "wheels").mkdir()
    with zipfile.ZipFile(context / "wheels" / "almanac-1.0-py3-none-any.whl", "w") as wheel:
        for name, text in WHEEL.items():
            wheel.writestr(name, text)
        wheel.writestr("almanac/datasource.py", code)
        wheel.writestr("almanac-1.0.dist-info/entry_points.txt", entry_points)
    (recipe,) = (block for block in blocks("operators/images.md", "dockerfile") if "wheels" in block)
    base, name = image(request.param), f"polytope-test-plug-in-{request.param}"
    (context / "Dockerfile").write_text(recipe.replace("FROM polytope-worker\n", f"FROM {base}\n"))
    engine("build", "--quiet", "--no-cache", "--tag", name, str(context), timeout=300)
    yield name
    engine("image", "rm", "--force", name)


def test_its_type_is_known(extended: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(json.dumps(CONFIG))
    tmp_path.chmod(0o755)
    mount = ("--volume", f"{tmp_path}/config.yaml:/etc/polytope/config.yaml:ro")
    assert run(extended, "config", "check", options=(*HARDENED, *mount)).splitlines()[-1] == "ok"


def test_it_is_compiled_and_its_wheel_is_gone(extended: str) -> None:
    assert engine("image", "inspect", "--format", "{{.Config.User}}", extended) == "10001:10001"
    program = "import almanac.datasource, os; print(os.path.exists(almanac.datasource.__cached__))"
    assert run(extended, "-c", program, entrypoint="python3") == "True"
    assert run(extended, "/mnt", "/tmp", "-name", "*.whl", entrypoint="find") == ""
