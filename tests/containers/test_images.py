"""What the images are, and are not."""

from __future__ import annotations

import json
import os
import time
from typing import Any

import pytest
from containers import HARDENED, engine, image, run, running, wait_for

COMMON, WORKER = image("common"), image("worker")
BASE = os.environ.get("BASE_IMAGE") or "python:3.11-slim-bookworm"
both = pytest.mark.parametrize("name", [COMMON, WORKER])
PROCESSES = ("frontend", "broker", "worker", "garbage-collector", "object-store", "standalone")
DRIVERS = (
    "pymongo pika boto3 redis pymemcache ldap3 sqlalchemy greenlet psycopg uvloop httptools aiohttp yaml "
    "xxhash cryptography pydantic falcon"
)
#: Seconds in which a process without requests ends.
GRACE = 20
#: MB that they may add to their base.
LARGEST = {COMMON: 150, WORKER: 450}


def config(name: str) -> dict[str, Any]:
    """The configuration of an image."""
    found: dict[str, Any] = json.loads(engine("image", "inspect", "--format", "{{json .Config}}", name))
    return found


def size(name: str) -> float:
    """MB."""
    return int(engine("image", "inspect", "--format", "{{.Size}}", name)) / 1e6


def files(name: str, *conditions: str) -> set[str]:
    """All files of an image, whatever their permissions."""
    found = run(name, "/", "-xdev", *conditions, options=("--user", "0"), entrypoint="find")
    return set(found.splitlines())


def health(container: str) -> str:
    """What the probe of the image says."""
    return engine("inspect", "--format", "{{.State.Health.Status}}", container)


@both
def test_it_says_what_it_is(name: str) -> None:
    labels = config(name)["Labels"]
    assert labels["org.opencontainers.image.title"] == name.rpartition("/")[2].partition(":")[0]
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    version = run(name, "--version").removeprefix("polytope-server ")
    assert labels["org.opencontainers.image.version"] == version
    assert labels["org.opencontainers.image.revision"]


@both
def test_its_user_is_a_number_and_not_root(name: str) -> None:
    assert config(name)["User"] == "10001:10001"
    assert run(name, "-u", entrypoint="id") == "10001"


@both
def test_it_brings_no_more_than_it_needs(name: str) -> None:
    tools = run(name, "-c", "command -v gcc cc c++ make ld strip || true", entrypoint="sh")
    assert tools == ""
    assert files(name, "-type", "f", "-perm", "/6000") <= files(BASE, "-type", "f", "-perm", "/6000")
    left = files(name, "-path", "/root/.cache/*", "-o", "-path", "/build/*", "-o", "-path", "/opt/*.whl")
    assert left == set()
    assert files(name, "-path", "/opt/polytope/*/site-packages/pip") == set()
    assert size(name) - size(BASE) < LARGEST[name]


@both
def test_its_user_can_write_nothing_of_it(name: str) -> None:
    # What it may not look into, it may not write into either.
    command = "find /opt /usr /etc -writable -not -type l 2> /dev/null || true"
    writable = run(name, "-c", command, options=(), entrypoint="sh")
    assert writable == ""


@both
def test_the_code_is_compiled(name: str) -> None:
    program = """
import importlib.util, pathlib, struct, polytope_server
missing = []
for path in pathlib.Path(polytope_server.__file__).parent.rglob("*.py"):
    compiled = pathlib.Path(importlib.util.cache_from_source(str(path)))
    changed = int(path.stat().st_mtime)
    if not compiled.exists() or struct.unpack("<I", compiled.read_bytes()[8:12])[0] != changed:
        missing.append(str(path))
print(polytope_server.__file__, missing)
"""
    found = run(name, "-c", program, entrypoint="python3")
    assert found == "/opt/polytope/server/polytope_server/__init__.py []"


@both
@pytest.mark.parametrize("process", PROCESSES)
def test_every_process_starts_from_a_file_system_that_cannot_be_written(name: str, process: str) -> None:
    assert process in run(name, process, "--help")


@both
def test_the_drivers_of_all_backends_can_be_imported(name: str) -> None:
    program = f"import {', '.join(DRIVERS.split())}; print('all')"
    assert run(name, "-c", program, entrypoint="python3") == "all"


def test_the_worker_has_the_fdb() -> None:
    program = "import pyfdb, eccodes; print(eccodes.codes_get_api_version() and 'found')"
    assert run(WORKER, "-c", program, entrypoint="python3") == "found"


@both
def test_it_becomes_healthy_and_ends_when_asked(name: str) -> None:
    # Probes of health that come sooner than those of the image.
    with running(name, "standalone", options=(*HARDENED, "--health-interval", "1s")) as container:
        wait_for(lambda: health(container) == "healthy", "healthy")
        before = time.monotonic()
        engine("stop", "--time", str(GRACE), container)
        assert time.monotonic() - before < GRACE - 1
        assert engine("inspect", "--format", "{{.State.ExitCode}}", container) == "0"


@both
def test_a_process_that_is_not_there_is_unhealthy(name: str) -> None:
    # Not the server, but in its place: the probe must not take it for one.
    options = (*HARDENED, "--health-interval", "1s", "--health-start-period", "1s", "--entrypoint", "sleep")
    with running(name, "300", options=options) as container:
        wait_for(lambda: health(container) == "unhealthy", "unhealthy")
