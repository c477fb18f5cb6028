"""The lock files of the container images hold what the project asks for. `make lock` writes them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
NAME = canonicalize_name(PROJECT["project"]["name"])
EXTRAS = ("common", "worker", "worker-features", "worker-mir")
#: What lock files may be used with.
MACHINES = [
    {"python_version": python, "python_full_version": f"{python}.9", "platform_machine": machine}
    for python in ("3.11", "3.12", "3.13")
    for machine in ("x86_64", "aarch64")
]
ENVIRONMENT = {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"}
_HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


def required(texts: list[str]) -> Iterator[Requirement]:
    """The requirements, with the project's own extras taken apart."""
    for requirement in map(Requirement, texts):
        if canonicalize_name(requirement.name) == NAME:
            for extra in requirement.extras:
                yield from required(PROJECT["project"]["optional-dependencies"][extra])
        else:
            yield requirement


def of_extra(extra: str) -> list[Requirement]:
    """What the project needs with one of its extras."""
    texts = PROJECT["project"]["dependencies"] + PROJECT["project"]["optional-dependencies"][extra]
    return list(required(texts))


def entries(lock: Path) -> list[tuple[Requirement, list[str]]]:
    """What a lock file names, each with its hashes."""
    joined = re.sub(r"\\\n", " ", lock.read_text())
    lines = [line for line in joined.splitlines() if line and not line.lstrip().startswith("#")]
    return [(Requirement(line.split(" --hash", 1)[0]), _HASH.findall(line)) for line in lines]


def pinned(lock: Path, machine: dict[str, str]) -> dict[str, str]:
    """The versions that a lock file gives to such a machine."""
    environment = ENVIRONMENT | machine
    return {
        canonicalize_name(requirement.name): next(iter(requirement.specifier)).version
        for requirement, _ in entries(lock)
        if requirement.marker is None or requirement.marker.evaluate(environment)
    }


LOCKS = [
    *((ROOT / "requirements" / f"{extra}.lock", of_extra(extra)) for extra in EXTRAS),
    (
        ROOT / "requirements" / "development.lock",
        list(required(PROJECT["dependency-groups"]["image-development"])),
    ),
    (ROOT / "requirements" / "build.lock", list(required(PROJECT["build-system"]["requires"]))),
]
SERVICES = [
    (source.with_suffix(".lock"), list(map(Requirement, source.read_text().split())))
    for source in sorted((ROOT / "polytope-deployment" / "images").glob("*/requirements.in"))
]


@pytest.mark.parametrize(
    ("lock", "requirements"),
    LOCKS + SERVICES,
    ids=lambda value: value.stem if isinstance(value, Path) else "",
)
def test_it_holds_a_fitting_version_of_all_that_is_required(
    lock: Path, requirements: list[Requirement]
) -> None:
    assert requirements
    for machine in MACHINES:
        versions = pinned(lock, machine)
        for requirement in requirements:
            version = versions.get(canonicalize_name(requirement.name))
            assert version is not None, f"{lock.name} lacks {requirement}: run `make lock`"
            assert requirement.specifier.contains(version, prereleases=True), (
                f"{lock.name} has {requirement.name} {version}, wanted is {requirement}: run `make lock`"
            )


@pytest.mark.parametrize("lock", [lock for lock, _ in LOCKS + SERVICES], ids=lambda lock: lock.parent.name)
def test_every_version_is_exact_and_has_hashes(lock: Path) -> None:
    for requirement, hashes in entries(lock):
        assert [specifier.operator for specifier in requirement.specifier] == ["=="], requirement
        assert hashes, requirement
    assert "://" not in lock.read_text(), "an address of an index belongs to the machine that installs"


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: " ".join(machine.values()))
def test_the_images_have_the_same_versions(machine: dict[str, str]) -> None:
    locks = [pinned(ROOT / "requirements" / f"{extra}.lock", machine) for extra in EXTRAS]
    for smaller, larger in pairwise(locks):
        assert smaller.items() <= larger.items()
