"""The schema of an FDB out of a git repository: fetched by the program `git`, and kept in the data folder.

What the configuration says goes to the program as arguments that cannot be taken for options, and never
through a shell. The time that it has is bounded, and so is what it writes.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import re
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polytope_server.datasource.fdb import schema
from polytope_server.datasource.fdb.git import Git, GitError
from polytope_server.language.errors import shown
from polytope_server.runtime import data_folder
from polytope_server.runtime.data_folder import write_private

logger = logging.getLogger(__name__)

LARGEST = 1 << 20
"""Bytes of a schema; that of ECMWF has 30,000."""
#: Seconds for which the schema of a branch is taken as it was fetched last.
_FRESH = 3600.0
#: Seconds for which a source that failed is not asked again: each process and child reads the configuration.
_PAUSE = 60.0
#: Characters of an address that a message shows.
_LONGEST = 200
_FOLDER = "fdb-schemas"
_KEYS = {"remote", "branch", "path", "revision", "commit"}
_REMOTE = re.compile(
    r"(?:(?:https?|ssh|git|file)://|/|[A-Za-z0-9_][A-Za-z0-9_.-]*@[A-Za-z0-9][^:/\s]*:)[^\s\x00-\x1f]+"
)
_BRANCH = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._/+-]*[A-Za-z0-9_+-])?")
_REVISION = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")
_PATH = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_. /+-]*")


@dataclass(frozen=True)
class Source:
    """A file of a git repository, as it is at the end of a branch, or in one revision."""

    remote: str
    path: str
    branch: str = ""
    revision: str = ""

    @property
    def name(self) -> str:
        """The name by which it is kept."""
        text = "\0".join((self.remote, self.path, self.branch, self.revision))
        return hashlib.sha256(text.encode()).hexdigest()[:32]


def read(section: Mapping[str, Any]) -> Source:
    """The source that the value of `schema` in a configuration describes. Raises ValueError."""
    keys = section.get("git")
    if set(section) != {"git"} or not isinstance(keys, Mapping):
        raise ValueError("schema: expected the path to a file, or the key 'git' with remote, branch and path")
    if unknown := sorted(map(str, set(keys) - _KEYS)):
        raise ValueError(f"schema.git: no key {shown(unknown[0])}; there are {', '.join(sorted(_KEYS))}")
    if "revision" in keys and "commit" in keys:
        raise ValueError("schema.git: revision and commit are the same; give one of them")
    given = {"revision": keys.get("commit", ""), **{key: keys[key] for key in keys if key != "commit"}}
    for key, pattern, expected in (
        ("remote", _REMOTE, "https://, ssh://, git:// or file:// with an address, USER@HOST:PATH, or /PATH"),
        ("branch", _BRANCH, "the name of a branch"),
        ("revision", _REVISION, "all 40 (or 64) digits of a commit, in small letters"),
        ("path", _PATH, "a path inside of the repository"),
    ):
        value = given.get(key) or ""
        if value and (not isinstance(value, str) or not pattern.fullmatch(value) or _climbs(key, value)):
            raise ValueError(f"schema.git.{key}: {shown(value)} is not accepted; expected {expected}")
    if not given.get("remote") or not given.get("path") or not (given.get("branch") or given["revision"]):
        raise ValueError("schema.git needs remote, path, and branch or revision")
    return Source(*(str(given.get(key) or "") for key in ("remote", "path", "branch", "revision")))


def _climbs(key: str, value: str) -> bool:
    return key in ("branch", "path") and not {"", ".", ".."}.isdisjoint(value.split("/"))


def fetch(source: Source) -> Path:
    """The file with the schema, which is fetched if need be.

    Raises ValueError, with what is wrong with the source, and OSError for the folder where it is kept.
    """
    folder = data_folder.prepare(data_folder.default() / _FOLDER)
    kept, failed = folder / f"{source.name}.schema", folder / f"{source.name}.error"
    # One process fetches; the others wait, and have it.
    with _locked(folder / f"{source.name}.lock"):
        wanted = not kept.exists() if source.revision else not _is_young(kept, _FRESH)
        if wanted and not _is_young(failed, _PAUSE):
            _refresh(source, kept, failed)
        if kept.exists():
            return kept
        raise ValueError(failed.read_text())


def _is_young(path: Path, seconds: float) -> bool:
    return path.exists() and time.time() - path.stat().st_mtime < seconds


def _refresh(source: Source, kept: Path, failed: Path) -> None:
    """Fetch what is kept, or write why that failed."""
    try:
        write_private(kept, _fetch(source, kept.parent))
    except GitError as error:
        text = _without_user(f"schema.git: {source.path} of {source.remote[:_LONGEST]}: {error}")
        logger.warning("%s%s", text, "; the schema that was fetched last is used" if kept.exists() else "")
        write_private(failed, text)
    else:
        failed.unlink(missing_ok=True)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _fetch(source: Source, folder: Path) -> str:
    with tempfile.TemporaryDirectory(prefix="fetch-", dir=folder) as place:
        git = Git(Path(place))
        git.fetch(source.remote, source.branch, source.revision)
        found = git.read_file(source.revision or "FETCH_HEAD", source.path, LARGEST)
    try:
        text = found.decode()
        schema.parse(text, lambda _, value: value)
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise GitError(f"it is no schema of an FDB: {error}") from None
    return text


def _without_user(text: str) -> str:
    """A text without the user and password of the addresses in it."""
    return re.sub(r"(?<=://)[^/@\s]*@", "", text)
