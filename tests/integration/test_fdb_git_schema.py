"""The schema of an FDB out of a real git repository, by the real program git."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fdb_fields import SURFACE, message, read, stored
from schema_repository import Repository

from polytope_demonstration import fdb as demo
from polytope_server.datasource import DataSourceError
from polytope_server.datasource.fdb import FDBDataSource, FDBSettings, git, git_schema
from polytope_server.datasource.fdb.configuration import load_fdb_config
from polytope_server.testing.datasource import job
from testbed.waiting import until

SCHEMA = Path(demo.__file__).with_name("schema").read_text()
OTHER = "[ class [ type [ step ]]]"
ABSENT = "0123456789" * 4


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data folder."""
    monkeypatch.setenv("POLYTOPE_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def repository(tmp_path: Path, data: Path) -> Repository:
    return Repository(tmp_path)


@pytest.fixture
def fetch(repository: Repository) -> Callable[..., str]:
    """Fetches a schema as a source does that starts, and returns its text."""

    def run(**keys: Any) -> str:
        section = {"remote": str(repository.path), "branch": "main", "path": "etc/schema", **keys}
        config = {"schema": {"git": {key: value for key, value in section.items() if value}}}
        return Path(load_fdb_config(config)["schema"]).read_text()

    return run


def age(data: Path, seconds: float = 4000) -> None:
    """Make what is kept in the data folder look older."""
    for path in (data / "fdb-schemas").iterdir():
        os.utime(path, (time.time() - seconds,) * 2)


def test_an_fdb_works_by_a_schema_that_is_fetched(repository: Repository, tmp_path: Path) -> None:
    commit = repository.commit(etc__schema=SCHEMA)
    config = {
        **demo.configuration(tmp_path),
        "schema": {"git": {"remote": f"file://{repository.path}", "path": "etc/schema", "commit": commit}},
    }
    source = FDBDataSource("trial", FDBSettings(fdb_config=config))
    source.prepare()
    source.archive(job({}, verb="archive"), stored())
    assert read(source, **SURFACE, param="2t", step="0") == message()
    check = FDBDataSource.request_check(source.settings)
    with pytest.raises(DataSourceError, match="the request must also name: step"):
        check({**SURFACE, "param": "2t"}, "retrieve")


def test_an_upload_asks_no_git_server(repository: Repository, data: Path, tmp_path: Path) -> None:
    repository.commit(etc__schema=SCHEMA)
    git_keys = {"remote": str(repository.path), "path": "etc/schema", "branch": "main"}
    config = {**demo.configuration(tmp_path), "schema": {"git": git_keys}}
    source = FDBDataSource("trial", FDBSettings(fdb_config=config))
    source.prepare()
    repository.path.rename(repository.path.with_name("away"))
    age(data)
    source.archive(job({}, verb="archive"), stored())
    assert not list((data / "fdb-schemas").glob("*.error"))


def test_a_branch_is_looked_at_again_after_a_while(
    fetch: Callable[..., str], repository: Repository, data: Path
) -> None:
    repository.commit(etc__schema=SCHEMA)
    assert fetch() == SCHEMA
    repository.commit(etc__schema=OTHER)
    assert fetch() == SCHEMA
    age(data)
    assert fetch() == OTHER
    repository.path.rename(repository.path.with_name("away"))
    age(data)
    assert fetch() == OTHER, "what was fetched last is better than nothing"


def test_a_revision_is_what_it_was(fetch: Callable[..., str], repository: Repository, data: Path) -> None:
    first = repository.commit(etc__schema=SCHEMA)
    second = repository.commit(etc__schema=OTHER)
    assert (fetch(revision=first), fetch(revision=first, branch=None)) == (SCHEMA, SCHEMA)
    assert fetch(revision=second) == OTHER
    repository.drop_last()
    age(data)
    assert fetch(revision=second) == OTHER, "it is kept for ever"


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"remote": "/absent.git"}, "git says: fatal: '/absent.git' does not appear to be a git repository"),
        ({"branch": "absent"}, "git says: fatal: couldn't find remote ref refs/heads/absent"),
        ({"path": "absent"}, "there is no such file"),
        ({"path": "etc"}, "it is no file"),
        ({"path": "etc/wrong"}, "it is no schema of an FDB: the schema has"),
        ({"path": "etc/binary"}, "it is no schema of an FDB: 'utf-8' codec"),
        ({"path": "etc/huge"}, "it has 5000000 bytes; at most 1048576 are accepted"),
        ({"revision": ABSENT}, f"the branch main has no commit {ABSENT}"),
        ({"revision": ABSENT, "branch": None}, "git says: fatal: "),
    ],
)
def test_what_cannot_be_fetched_is_an_error_in_words(
    fetch: Callable[..., str], repository: Repository, data: Path, keys: dict[str, Any], reason: str
) -> None:
    repository.commit(
        etc__schema=SCHEMA, etc__wrong="no schema", etc__binary=b"\xff\xfe", etc__huge=b"\n" * 5_000_000
    )
    with pytest.raises(ValueError, match=r"^schema\.git: ") as raised:
        fetch(**keys)
    assert reason in str(raised.value)
    assert keys.get("path", "etc/schema") in str(raised.value)
    assert not list((data / "fdb-schemas").glob("fetch-*"))


def test_the_last_moment_of_a_failure_is_not_asked_again_at_once(
    fetch: Callable[..., str], repository: Repository, data: Path
) -> None:
    with pytest.raises(ValueError, match="couldn't find remote ref"):
        fetch()
    repository.commit(etc__schema=SCHEMA)
    with pytest.raises(ValueError, match="couldn't find remote ref"):
        fetch()
    age(data)
    assert fetch() == SCHEMA


def test_a_server_that_does_not_answer_costs_a_bounded_time(
    fetch: Callable[..., str], repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.commit(etc__schema=SCHEMA)
    hook, number = repository.path / "slow", repository.path / "number"
    hook.write_text(f"#!/bin/sh\necho $$ > '{number}'\nexec sleep 60\n")
    hook.chmod(0o700)
    monkeypatch.setenv("GIT_SSH_COMMAND", str(hook))
    monkeypatch.setattr(git, "TIME", 0.5)
    began = time.monotonic()
    with pytest.raises(ValueError, match=r"git needs more than 0\.5 s"):
        fetch(remote="ssh://git@git.example.org/fdb.git")
    assert time.monotonic() - began < 10
    until(lambda: not runs(int(number.read_text())), seconds=20)


def runs(number: int) -> bool:
    """Whether a process runs; one that has ended and is not yet waited for does not."""
    found = subprocess.run(
        ["/usr/bin/env", "ps", "-o", "stat=", "-p", str(number)], capture_output=True, text=True, check=False
    )
    return bool(found.stdout.strip()) and not found.stdout.startswith("Z")


def test_more_than_a_bounded_size_is_not_fetched(
    fetch: Callable[..., str], repository: Repository, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.commit(etc__schema=SCHEMA, noise=os.urandom(3_000_000))
    monkeypatch.setattr(git, "_LARGEST_PACK", 1_000_000)
    with pytest.raises(ValueError, match="git says"):
        fetch()
    assert sum(path.stat().st_size for path in data.rglob("*") if path.is_file()) < 100_000


@pytest.mark.parametrize("option", ["--upload-pack=touch {0}", "ext::sh -c touch% {0}", "-c{0}"])
def test_what_looks_like_an_option_runs_nothing(data: Path, tmp_path: Path, option: str) -> None:
    """Even if it passed the check of the configuration."""
    victim = tmp_path / "victim"
    with pytest.raises(ValueError, match="git says"):
        git_schema.fetch(git_schema.Source(option.format(victim), "schema", "main"))
    assert not victim.exists()


def test_a_password_of_an_address_is_not_shown(data: Path, caplog: pytest.LogCaptureFixture) -> None:
    remote = "https://user:secret@127.0.0.1:9/fdb.git"
    with pytest.raises(ValueError, match=r"^schema\.git: ") as raised:
        git_schema.fetch(git_schema.Source(remote, "schema", "main"))
    kept = [path.read_text() for path in (data / "fdb-schemas").iterdir()]
    assert not any("secret" in text for text in (str(raised.value), caplog.text, *kept))
