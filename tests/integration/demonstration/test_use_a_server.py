"""The page "Use a server", by a new user with an empty home: the published client, and earthkit-data."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from mir_command import run_mir, split, values_of
from newcomer import DOCS, TIME, Newcomer
from newcomer import blocks as blocks_of
from published_client import environment_with

from polytope_demonstration.setup import USER, Setup

PAGE = (DOCS / "use-a-server.md").read_text()
NOTEBOOK = DOCS / "use-a-server.ipynb"
#: The versions that the page was written with; what runs notebooks comes besides.
VERSIONS = {"polytope-client": "0.7.10", "earthkit-data": "1.3.0"}
TOOLS = ("nbclient==0.11.0", "ipykernel==7.4.0")
#: Two parameters at the five steps of the request on the page.
FIELDS = 10


def blocks(language: str) -> list[str]:
    return blocks_of(PAGE, language)


@pytest.fixture(scope="module")
def environment() -> Path:
    """What the first block of the page makes."""
    _, install = blocks("sh")[0].splitlines()
    packages = shlex.split(install)[2:]
    assert sorted(packages) == sorted(VERSIONS)
    return environment_with("user", *(f"{name}=={VERSIONS[name]}" for name in packages), *TOOLS)


@pytest.fixture
def newcomer(tmp_path: Path, environment: Path) -> Newcomer:
    return Newcomer(tmp_path, environment)


@pytest.fixture
def configured(newcomer: Newcomer, running: Setup) -> Newcomer:
    """One with the configuration of the page, for the address of the demonstration, and logged in."""
    (configuration,) = blocks("yaml")
    assert "https://polytope.example.org" in configuration
    address = configuration.replace("https://polytope.example.org", running.url)
    newcomer.configure(f"{address}insecure: true\n")
    _, log_in, *_ = blocks("sh")
    newcomer.run("bash", "-euc", log_in, given=f"{running.password}\n")
    return newcomer


def test_the_page_works_as_it_is_written(configured: Newcomer) -> None:
    _, _, *commands = blocks("sh")
    assert len(commands) == 1
    assert "demo" in configured.run("bash", "-euc", commands[0])
    assert (configured.folder / "2t.grib").read_bytes().startswith(b"GRIB")
    script = "".join(blocks("python"))
    assert len(blocks("python")) == 4
    printed = configured.python(script + "print(len(dataset), highest)").splitlines()
    fields = [line.split()[0] for line in printed if re.match(r"(2t|msl) ", line)]
    assert fields.count("2t") == fields.count("msl") == FIELDS // 2
    variables, highest = printed[-1].split()
    assert variables == "2"
    assert 90_000 < float(highest) < 110_000  # of the pressures, in Pa


def test_the_key_is_kept_and_the_password_is_not(configured: Newcomer, running: Setup) -> None:
    kept = configured.home / ".polytope-client" / "config.yaml"
    assert "user_key: " in kept.read_text()
    assert running.password not in kept.read_text()
    assert kept.stat().st_mode & 0o077 == 0


def test_the_notebook_runs(configured: Newcomer) -> None:
    copy = shutil.copy(NOTEBOOK, configured.folder)
    configured.run("venv/bin/jupyter-execute", "--inplace", copy, f"--timeout={TIME}")
    cells = json.loads(Path(copy).read_text())["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    assert [output for output in outputs if output["output_type"] == "error"] == []
    shown = "".join("".join(output.get("data", {}).get("text/plain", [])) for output in outputs)
    assert "xarray.Dataset" in shown
    assert f"\n{FIELDS - 1} " in shown  # the last row of the list of fields


@pytest.mark.parametrize("arguments", [(), ("stream=False",)])
def test_a_key_is_all_that_earthkit_needs(
    configured: Newcomer, running: Setup, arguments: Sequence[str]
) -> None:
    kept = configured.home / ".polytope-client" / "config.yaml"
    key = re.search(r"user_key: (.*)", kept.read_text())
    assert key is not None
    kept.unlink()
    given = ", ".join((f"address={running.url!r}", "insecure=True", f"user_key={key[1]!r}", *arguments))
    request = {"param": "2t", "levtype": "sfc", "date": -1, "step": [0, 6]}
    script = f"""
import earthkit.data
data = earthkit.data.from_source("polytope", "demo", {request}, {given})
print(*sorted(field.get("time.step").total_seconds() / 3600 for field in data.to_fieldlist()))
"""
    assert configured.python(script).splitlines()[-1] == "0.0 6.0"


def test_earthkit_gets_a_region_on_another_grid(configured: Newcomer, tmp_path: Path) -> None:
    plain = {"param": "2t/msl", "levtype": "sfc", "date": -1, "step": 6}
    options = {"grid": "1.5/1.5", "area": "60/-10/30/40"}
    script = f"""
import earthkit.data
for name, request in (("plain", {plain}), ("regional", {plain | options})):
    earthkit.data.from_source("polytope", "demo", request).to_target("file", f"{{name}}.grib")
"""
    configured.python(script)
    made = {name: (configured.folder / f"{name}.grib").read_bytes() for name in ("plain", "regional")}
    expected = run_mir([made["plain"]], tmp_path, tmp_path, **options)
    assert [list(values_of(one)) for one in split(made["regional"])] == [
        list(values_of(one)) for one in split(expected)
    ]


def test_a_mistake_is_read_in_full(configured: Newcomer) -> None:
    script = """
import earthkit.data
request = {"param": "2t", "levtype": "sfc", "date": "yesterday", "step": 0}
try:
    earthkit.data.from_source("polytope", "demo", request)
except Exception as error:
    print(error)
"""
    printed = configured.python(script)
    assert "date" in printed
    assert "yesterday" in printed


@pytest.mark.parametrize("name", re.findall(r"`(POLYTOPE_[A-Z_]+)`", PAGE))
def test_the_client_knows_the_variables_of_the_page(configured: Newcomer, name: str) -> None:
    script = "from polytope.api import Client; Client().list_config()"
    if name == "POLYTOPE_CONFIG_PATH":
        # An address that is not that of the configuration of this user.
        assert "polytope.ecmwf.int" in configured.python(script, **{name: str(configured.folder)})
    else:
        assert "(env var)" in configured.python(script, **{name: "https://polytope.example.org"})


def test_the_user_of_the_page_is_that_of_the_demonstration() -> None:
    assert f"username: {USER}\n" in blocks("yaml")[0]
