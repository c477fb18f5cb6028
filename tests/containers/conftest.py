"""Tests of images: `make image` and `make test-compose` build what they need, and run them."""

from __future__ import annotations

import os
import subprocess

import pytest
from containers import ENGINE

# Images take minutes to build: these tests are run when they are asked for.
collect_ignore_glob = [] if os.environ.get("POLYTOPE_CONTAINERS") else ["test_*.py"]


@pytest.fixture(scope="session", autouse=True)
def engine() -> None:
    """A container engine that answers."""
    try:
        subprocess.run([ENGINE, "version"], check=True, capture_output=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        pytest.skip(f"cannot be had: a container engine (`{ENGINE} version` fails)")
