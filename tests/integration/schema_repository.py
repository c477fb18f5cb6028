"""A real git repository of the tests, for schemas of FDBs."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


class Repository:
    """A bare repository, and the work tree from which commits come into it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "fdb.git"
        self._tree = folder / "tree"
        self._git(folder, "init", "--quiet", "--bare", str(self.path))
        self._git(folder, "init", "--quiet", "--initial-branch=main", str(self._tree))

    def commit(self, **files: str | bytes) -> str:
        """Commit files, `a__b` being `a/b`; returns the commit."""
        for name, content in files.items():
            path = self._tree / name.replace("__", "/")
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        self._git(self._tree, "add", "--all")
        self._git(self._tree, "commit", "--quiet", "--message=x")
        self._git(self._tree, "push", "--quiet", "--force", str(self.path), "HEAD:refs/heads/main")
        return self._git(self._tree, "rev-parse", "HEAD")

    def drop_last(self) -> None:
        """Take the last commit off the branch, whose objects stay."""
        self._git(self._tree, "reset", "--quiet", "--hard", "HEAD~1")
        self._git(self._tree, "push", "--quiet", "--force", str(self.path), "HEAD:refs/heads/main")

    @staticmethod
    def _git(folder: Path, *arguments: str) -> str:
        names = ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL")
        done = subprocess.run(
            ["/usr/bin/env", "git", *arguments], cwd=folder, check=True, capture_output=True, text=True,
            env={**os.environ, **dict.fromkeys(names, "a"), "GIT_CONFIG_GLOBAL": "/dev/null"}, timeout=60,
        )  # fmt: skip
        return done.stdout.strip()
