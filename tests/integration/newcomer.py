"""A user who has nothing yet, and does what a page of the documentation says."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
#: Seconds; the first import of earthkit-data takes some of them.
TIME = 120


def blocks(page: str, language: str) -> list[str]:
    """The examples of a page in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


class Newcomer:
    """A user with an empty home, and the environment `venv` of the page."""

    def __init__(self, folder: Path, environment: Path) -> None:
        self.home = folder / "home"
        self.home.mkdir()
        self.folder = folder
        (folder / "venv").symlink_to(environment)

    def run(self, *command: str | Path, given: str = "", **variables: str) -> str:
        """What a command prints, with nothing in its environment but these variables."""
        bare = {"PATH": "/usr/bin:/bin", "HOME": str(self.home), **variables}
        done = subprocess.run(
            command, cwd=self.folder, env=bare, input=given, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=TIME, check=False, start_new_session=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
        return done.stdout

    def python(self, script: str, **variables: str) -> str:
        return self.run("venv/bin/python", "-c", script, **variables)

    def configure(self, text: str) -> None:
        folder = self.home / ".polytope-client"
        folder.mkdir()
        (folder / "config.yaml").write_text(text)
