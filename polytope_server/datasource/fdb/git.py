"""The program `git`, in a bare repository of a folder, with all bounds that there are."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

#: Seconds for all that one fetch takes, less than a child of a worker has to start.
TIME = 45.0
#: Bytes of what is fetched, and characters of what the program says.
_LARGEST_PACK, _LONGEST = 256 << 20, 300
#: Settings by which all that is fetched is one file, and a large file is not read into memory.
_SETTINGS = ("fetch.unpackLimit=1", "transfer.unpackLimit=1", "core.bigFileThreshold=1m", "gc.auto=0")
#: No program is started that an address names (ext::), and nothing is asked at a terminal.
_FORCED = {"GIT_ALLOW_PROTOCOL": "file:git:http:https:ssh", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
#: Variables by which an operator says how git reaches servers.
_OF_THE_OPERATOR = ("GIT_SSH", "GIT_SSL", "GIT_PROXY", "GIT_CONFIG", "GIT_ASKPASS")
#: The file with what the program says, and the bytes of it that are read.
_SAID, _MOST_SAID = "said", 1 << 16


class GitError(Exception):
    """It did not work. The text says why, without the address."""


class Git:
    """Fetches into one folder, and reads what was fetched."""

    def __init__(self, folder: Path) -> None:
        """Make a repository. Raises GitError."""
        self._folder = folder
        self._end = time.monotonic() + TIME
        self._run("init", "--quiet", "--bare", "--template=")

    def fetch(self, remote: str, branch: str, revision: str) -> None:
        """Fetch the last commit of a branch, or a commit. Raises GitError."""
        if revision:
            self._fetch_revision(remote, branch, revision)
        else:
            self._fetch(remote, f"refs/heads/{branch}", "--depth=1")

    def read_file(self, commit: str, path: str, largest: int) -> bytes:
        """A file of a commit that was fetched. Raises GitError."""
        name = f"{commit}:{path}"
        try:
            kind = self._run("cat-file", "-t", name).strip()
        except GitError:
            raise GitError("there is no such file") from None
        if kind != b"blob":
            raise GitError("it is no file")
        size = int(self._run("cat-file", "-s", name))
        if size > largest:
            raise GitError(f"it has {size} bytes; at most {largest} are accepted")
        return self._run("cat-file", "blob", name)

    def _fetch_revision(self, remote: str, branch: str, revision: str) -> None:
        try:
            self._fetch(remote, revision, "--depth=1")
        except GitError:
            if not branch:
                raise
            # A server need not give what is no end of a branch.
            self._fetch(remote, f"refs/heads/{branch}")
            try:
                self._run("merge-base", "--is-ancestor", revision, "FETCH_HEAD")
            except GitError:
                raise GitError(f"the branch {branch} has no commit {revision}") from None

    def _fetch(self, remote: str, reference: str, *options: str) -> None:
        self._run(
            "fetch", "--quiet", "--no-tags", "--no-recurse-submodules", *options, "--", remote, reference
        )

    def _run(self, *arguments: str) -> bytes:
        if (path := shutil.which("git")) is None:
            raise GitError("the program git is not installed")
        settings = [part for setting in _SETTINGS for part in ("-c", setting)]
        with (self._folder / _SAID).open("w+b") as said:
            try:
                program = subprocess.Popen(
                    [path, *settings, *arguments], cwd=self._folder, env=_environment(),
                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said, start_new_session=True,
                )  # fmt: skip
            except OSError as error:
                raise GitError(f"the program git cannot be started: {error.strerror}") from None
            with program:
                out = self._wait_for(program)
            if program.returncode:
                said.seek(0)
                raise GitError(_read_reason(said.read(_MOST_SAID)))
        return out

    def _wait_for(self, program: subprocess.Popen[bytes]) -> bytes:
        if sys.platform == "linux":
            with suppress(ProcessLookupError):  # it has ended
                resource.prlimit(program.pid, resource.RLIMIT_FSIZE, (_LARGEST_PACK, _LARGEST_PACK))
        try:
            return program.communicate(timeout=max(0.0, self._end - time.monotonic()))[0]
        except subprocess.TimeoutExpired:
            # With all that it has started.
            os.killpg(program.pid, signal.SIGKILL)
            raise GitError(f"git needs more than {TIME:g} s") from None


def _environment() -> dict[str, str]:
    """That of this process, without what would make git work in another place."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    kept |= {name: value for name, value in os.environ.items() if name.startswith(_OF_THE_OPERATOR)}
    return {"GIT_SSH_COMMAND": "ssh -o BatchMode=yes", **kept, **_FORCED}


def _read_reason(said: bytes) -> str:
    lines = said.decode(errors="replace").splitlines()
    reasons = [line for line in lines if line.startswith(("fatal:", "error:"))] or lines[-1:]
    return f"git says: {reasons[0][:_LONGEST]}" if reasons else "git has failed"
