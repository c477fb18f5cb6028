"""Writes the lock files of the container images: every package that they install, by version and hash.

They hold for Linux and all Python versions from the oldest that the project supports. Versions that a lock
file has already are kept as long as they do; `--upgrade` takes the newest.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
PROJECT = FOLDER.parent / "pyproject.toml"
#: Each of these extras has a lock file, with the versions of those before it wherever they share a package.
EXTRAS = ("common", "worker", "worker-features", "worker-mir")
DEVELOPMENT = "image-development"
#: Images of services for trials, which have the file requirements.in and a lock file beside it.
SERVICES = PROJECT.parent / "polytope-deployment" / "images"


def main() -> int:
    """Write all of them; returns the exit status."""
    options = [argument for argument in sys.argv[1:] if argument == "--upgrade"]
    project = tomllib.loads(PROJECT.read_text())
    constraints = [FOLDER / "constraints.txt"]
    for extra in EXTRAS:
        _compile(["--extra", extra, str(PROJECT)], FOLDER / f"{extra}.lock", constraints, options)
        constraints.append(FOLDER / f"{extra}.lock")
    # They need nothing of the project itself.
    for name, requirements in (
        ("development", project["dependency-groups"][DEVELOPMENT]),
        ("build", project["build-system"]["requires"]),
    ):
        _compile(["-"], FOLDER / f"{name}.lock", constraints, options, "\n".join(requirements))
    for source in sorted(SERVICES.glob("*/requirements.in")):
        _compile([str(source)], source.with_suffix(".lock"), [], options)
    return 0


def _compile(
    source: list[str], lock: Path, constraints: list[Path], options: list[str], text: str = ""
) -> None:
    command = [
        *(sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--universal", "--generate-hashes"),
        *("--python-version", "3.11", "--no-annotate", "--custom-compile-command", "make lock"),
        *(f"--constraint={file}" for file in constraints),
        *("--output-file", str(lock), *options, *source),
    ]
    subprocess.run(command, input=text, text=True, check=True, cwd=FOLDER)


if __name__ == "__main__":
    sys.exit(main())
