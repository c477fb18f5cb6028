"""What to say when a Python package is missing: its name on the index, and the command that installs it."""

from __future__ import annotations

import shlex
import shutil
import sys
from importlib.metadata import PackageNotFoundError, requires
from importlib.util import find_spec

_SERVER = "polytope-server"
#: Modules that come in a package of another name, as it is on the Python index.
PACKAGES = {
    "argon2": "argon2-cffi",
    "bson": "pymongo",
    "gribapi": "eccodes",
    "jwt": "pyjwt",
    "mir": "mir-python",
    "polytope_feature": "polytope-python",
    "prometheus_client": "prometheus-client",
    "psycopg_pool": "psycopg-pool",
    "uvicorn_worker": "uvicorn-worker",
    "yaml": "pyyaml",
}


def package_of(module: str) -> str:
    """The package, as the Python index names it, that has a module."""
    top = module.partition(".")[0]
    return PACKAGES.get(top, top)


def explain_missing(module: str, extra: str) -> str:
    """What is missing, and the command that installs it; follows the name of what needs it.

    The command names the packages of the extra one by one. The server itself is on no index, and this works
    whether it was installed from a repository, a folder or a wheel, and leaves its version as it is.
    """
    package = package_of(module)
    wanted = requirements(extra)
    what = f"Python package {package!r}" + (f" (extra {extra!r})" if wanted else "")
    command = " ".join([_installer(), *map(shlex.quote, wanted or [package])])
    return f"needs the {what}: install it with `{command}`"


def requirements(extra: str) -> list[str]:
    """What an extra of this server brings, extras that it consists of left out; empty if there is none."""
    try:
        declared = requires(_SERVER) or []
    except PackageNotFoundError:  # it runs from a folder where it was not installed
        return []
    parts = [(text.strip(), marker.strip()) for text, _, marker in (line.partition(";") for line in declared)]
    return [
        text
        for text, marker in parts
        if marker.replace("'", '"') == f'extra == "{extra}"' and not text.startswith(f"{_SERVER}[")
    ]


def _installer() -> str:
    """The start of a command that installs packages beside this server, whose environment may have no pip."""
    python = shlex.quote(sys.executable)
    if find_spec("pip") is not None:
        return f"{python} -m pip install"
    if shutil.which("uv") is not None:
        return f"uv pip install --python {python}"
    return f"python3 -m pip --python {python} install"
