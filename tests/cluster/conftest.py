"""Images in a registry, for a cluster that the environment describes.

`KUBECONFIG`; `REGISTRY`, a prefix of image names that this machine and the cluster both reach; `BASE_IMAGE`
and what else `make image` takes. `run.sh` sets them for the cluster that it makes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from kubectl import run

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def registry() -> str:
    """The prefix of the images' names."""
    try:
        return os.environ["REGISTRY"]
    except KeyError:
        pytest.fail("set REGISTRY to a registry that this machine and the cluster reach")


@pytest.fixture(scope="session")
def tag(registry: str) -> str:
    """The tag of the images: that of `TAG` if they are there, or a new one, of images of this checkout."""
    if given := os.environ.get("TAG"):
        return given
    tag = f"test-{int(time.time())}"
    names = ("common", "worker", "mongodb", "rabbitmq", "redis", "s3")
    build = str(ROOT / "polytope-deployment" / "build-images")
    run("env", f"REGISTRY={registry}", f"TAG={tag}", build, *names)
    for name in names[:2] + tuple(f"trial-{name}" for name in names[2:]):
        run("docker", "push", "--quiet", f"{registry}/polytope-{name}:{tag}")
    return tag


@pytest.fixture(autouse=True)
def _log_failure(request: pytest.FixtureRequest) -> Iterator[None]:
    """Print the state of the release when a test of it has failed."""
    failed = request.session.testsfailed
    yield
    if "release" in request.fixturenames and request.session.testsfailed > failed:
        print(request.getfixturevalue("release").namespace.describe())
