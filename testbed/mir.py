"""MIR's own command line, as its wheels bring it."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

_LIBRARIES = ("mirlib", "eckitlib", "eccodeslib", "atlaslib_ecmwf")


def program() -> str:
    """The command line of the installed MIR."""
    return str(_folder("mirlib") / "bin/mir")


def environment(weights: Path) -> dict[str, str]:
    """What it needs: the places of its libraries, which no wheel tells it, and a folder for weights."""
    libraries = ":".join(str(_folder(name) / "lib64") for name in _LIBRARIES)
    return {**os.environ, "LD_LIBRARY_PATH": libraries, "MIR_CACHE_PATH": str(weights)}


def _folder(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"{package} is not installed: pip install '.[mir]'")
    return Path(spec.origin).parent
