"""What images are built on: a digest, and not what a tag means at the moment."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "polytope-deployment" / "build-images"
DIGEST = "sha256:" + "ab" * 32
OTHER = "sha256:" + "cd" * 32
#: An engine that builds nothing, and notes what it was asked to build.
ENGINE = """#!/bin/sh
case "$1 $2" in
    "image inspect")
        case $4 in
            *Size*) echo 1000000 ;;
            *Digests*) printf '%s' "$DIGESTS" ;;
        esac ;;
    build*) shift; for word in "$@"; do echo "$word"; done >> "$ASKED" ;;
esac
"""

Build = Callable[..., tuple[str, list[str]]]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """Builds `common` with an engine that knows the base by these digests; what is printed, and asked for."""
    engine, asked = tmp_path / "engine", tmp_path / "asked"
    engine.write_text(ENGINE)
    engine.chmod(0o755)

    def build(base: str, *digests: str) -> tuple[str, list[str]]:
        environment = {
            "PATH": "/usr/bin:/bin",
            "ENGINE": str(engine),
            "BASE_IMAGE": base,
            "ASKED": str(asked),
            "DIGESTS": "".join(f"{one}\n" for one in digests),
            "TAG": "1",
        }
        done = subprocess.run(
            [SCRIPT, "common"], env=environment, capture_output=True, text=True, check=True, timeout=60
        )
        return done.stdout, asked.read_text().splitlines()

    return build


@pytest.mark.parametrize(
    ("base", "repository"),
    [
        ("python:3.11-slim-bookworm", "python"),
        ("example.org:5000/base/python:3", "example.org:5000/base/python"),
        ("example.org:5000/base/python", "example.org:5000/base/python"),
        (f"python@{DIGEST}", "python"),
    ],
)
def test_a_tag_is_built_on_as_the_digest_that_it_has_now(build: Build, base: str, repository: str) -> None:
    printed, asked = build(base, f"elsewhere/mirror@{OTHER}", f"{repository}@{DIGEST}")
    assert f"base: {repository}@{DIGEST}\n" in printed
    assert f"BASE_IMAGE={repository}@{DIGEST}" in asked
    assert f"org.opencontainers.image.base.name={base}" in asked
    assert f"org.opencontainers.image.base.digest={DIGEST}" in asked


def test_a_base_that_was_never_in_a_registry_has_its_tag_only(build: Build) -> None:
    printed, asked = build("local/python-base:bookworm")
    assert "base: local/python-base:bookworm\n" in printed
    assert "BASE_IMAGE=local/python-base:bookworm" in asked
    assert "org.opencontainers.image.base.digest=" in asked
