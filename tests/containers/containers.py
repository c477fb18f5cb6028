"""Images and containers of these tests."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

ENGINE = os.environ.get("ENGINE") or "docker"
#: What Kubernetes' restricted standard asks for, and a root file system that cannot be written.
HARDENED = (
    *("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges:true"),
    *("--tmpfs", "/var/lib/polytope:uid=10001,gid=10001,mode=0700"),
)


def image(name: str) -> str:
    """The full name of an image, as `build-images` calls it."""
    registry = os.environ.get("REGISTRY")
    return f"{registry}/polytope-{name}:latest" if registry else f"polytope-{name}:latest"


def engine(*arguments: str, timeout: float = 120) -> str:
    """What a command of the engine prints. Raises AssertionError with its messages if it fails."""
    done = subprocess.run([ENGINE, *arguments], capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, f"{' '.join(arguments)}: {done.stderr[-3000:]}"
    return done.stdout.strip()


def run(name: str, *command: str, options: tuple[str, ...] = HARDENED, entrypoint: str = "") -> str:
    """What a container prints that runs to its end."""
    instead = ("--entrypoint", entrypoint) if entrypoint else ()
    return engine("run", "--rm", "--network", "none", *options, *instead, name, *command)


@contextmanager
def running(name: str, *command: str, options: tuple[str, ...] = HARDENED) -> Iterator[str]:
    """The id of a container that runs for the length of a block."""
    identity = engine("run", "--detach", "--network", "none", *options, name, *command)
    try:
        yield identity
    finally:
        engine("rm", "--force", "--volumes", identity)


def wait_for(condition: Callable[[], bool], what: str, timeout: float = 120) -> None:
    """Return as soon as the condition holds. Raises AssertionError if it does not in time (seconds)."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"not in {timeout:g} s: {what}"
        time.sleep(0.2)
