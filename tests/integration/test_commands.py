"""`polytope-server users` and `keys`, on each back-end."""

import io
import os
import pty
import re
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from polytope_server.commands import main as cli
from testbed.server import StandaloneServer, basic, free_port
from testbed.services import MongoDB, PostgreSQL

STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


class Terminal:
    """Runs commands; keeps what the last one wrote."""

    def __init__(
        self, folder: Path, config: Mapping[str, Any], capsys: pytest.CaptureFixture[str], patch: Any
    ) -> None:
        self._capsys, self._patch = capsys, patch
        file = folder / "config.yaml"
        file.write_text(yaml.safe_dump(dict(config)))
        self.options = ["-f", str(file), "--data", str(folder / "data")]
        self.output = self.errors = ""

    def __call__(self, *words: str, stdin: str | bytes = "") -> int:
        """The exit status of `polytope-server WORDS`."""
        data = stdin.encode() if isinstance(stdin, str) else stdin
        self._patch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data), "utf-8"))
        try:
            status = cli.main([*words[:2], *self.options, *words[2:]])
        except SystemExit as error:
            status = int(str(error.code))
        self.output, self.errors = self._capsys.readouterr()
        return status

    def rows(self) -> list[list[str]]:
        """The last table, without its titles."""
        return [line.split("\t") for line in self.output.splitlines()[1:]]


Start = Callable[..., Terminal]


def sections(kind: str, **keys: Any) -> dict[str, Any]:
    """Identity and API keys on one back-end."""
    return {
        "identity": {kind: {**keys, "realm": "people"}},
        "api-keys": {"generator": {"type": kind, **keys, "allowed_realms": ["people", "site"]}},
    }


@pytest.fixture
def start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Start]:
    """Makes a terminal for a configuration."""
    mask = os.umask(0)
    yield lambda **config: Terminal(tmp_path, config, capsys, monkeypatch)
    os.umask(mask)


@pytest.fixture(params=["sqlite", "mongodb", "postgresql"])
def run(request: pytest.FixtureRequest, start: Start) -> Iterator[Terminal]:
    if request.param == "sqlite":
        yield start(**sections("sql"))
    elif request.param == "mongodb":
        mongodb: MongoDB = request.getfixturevalue("mongodb")
        yield start(**sections("mongodb", uri=mongodb.uri))
        with mongodb.client() as client:
            client.drop_database("polytope")
    else:
        import psycopg

        postgresql: PostgreSQL = request.getfixturevalue("postgresql")
        yield start(**sections("sql", url=postgresql.url))
        with psycopg.connect(postgresql.url) as connection:
            connection.execute("DELETE FROM users")
            connection.execute("DELETE FROM api_keys")


def test_users_are_added_listed_changed_and_removed(run: Terminal) -> None:
    assert run("users", "list") == 0
    assert run.output == "user\troles\tcreated\n"
    assert run("users", "add", "josé", "--role", "a", "--role", "b", stdin="secret\n") == 0
    assert run("users", "add", "alice", stdin="secret") == 0
    assert (run.output, run.errors) == ("", "")
    assert run("users", "list") == 0
    assert [row[:2] for row in run.rows()] == [["alice", ""], ["josé", "a,b"]]
    assert all(re.fullmatch(STAMP, row[2]) for row in run.rows())
    assert "secret" not in run.output
    assert "argon2" not in run.output
    assert run("users", "roles", "alice", "c", "d") == 0
    assert run("users", "roles", "josé") == 0
    assert run("users", "list") == 0
    assert [row[:2] for row in run.rows()] == [["alice", "c,d"], ["josé", ""]]
    assert run("users", "passwd", "alice", stdin="other\n") == 0
    assert run("users", "remove", "alice") == 0
    assert run("users", "list") == 0
    assert [row[0] for row in run.rows()] == ["josé"]


def test_what_cannot_be_done_is_said(run: Terminal) -> None:
    assert run("users", "add", "alice", stdin="secret\n") == 0
    for words, stdin, reason in [
        (("users", "add", "alice"), "secret\n", "there is a user 'alice' already"),
        (("users", "add", "a:b"), "secret\n", "must not hold a colon"),
        (("users", "add", "bob"), "", "a password has 1 to 1024 characters"),
        (("users", "add", "bob"), "x" * 5000, "a password has 1 to 1024 characters"),
        (("users", "add", "bob"), b"\xff\n", "not valid Unicode"),
        (("users", "add", "bob", "--role", " "), "secret\n", "a role has 1 to 128 characters"),
        (("users", "passwd", "bob"), "secret\n", "there is no user 'bob'"),
        (("users", "roles", "bob", "a"), "", "there is no user 'bob'"),
        (("users", "remove", "bob"), "", "there is no user 'bob'"),
        (("keys", "revoke", "alice", "12345678"), "", "no API key of alice (realm people) has that prefix"),
        (("keys", "create", "alice", "--expiry", "366"), "", "ends after 1 to 365 days"),
        (("keys", "create", "alice", "--realm", "else"), "", "for users in realm else"),
    ]:
        assert run(*words, stdin=stdin) == 1, words
        assert reason in run.errors
        assert run.output == ""
        assert "secret" not in run.errors
        assert "Traceback" not in run.errors
    assert run("users", "list") == 0
    assert [row[0] for row in run.rows()] == ["alice"]


def test_keys_are_made_listed_and_revoked(run: Terminal) -> None:
    keys = []
    for words in (("alice",), ("alice", "--expiry", "30"), ("alice", "--realm", "site")):
        assert run("keys", "create", *words) == 0
        keys.append(run.output.removesuffix("\n"))
        assert uuid.UUID(keys[-1]).version == 4
        assert keys[-1] not in run.errors
        assert re.search(STAMP, run.errors)
    assert run("keys", "list", "alice") == 0
    assert [row[0] for row in run.rows()] == [key[:8] for key in keys[:2]]
    assert all(re.fullmatch(STAMP, time) for row in run.rows() for time in row[1:3])
    assert {row[3] for row in run.rows()} == {"never"}
    assert not any(key in run.output for key in keys)
    assert run("keys", "revoke", "alice", keys[0]) == 1  # a whole key is no prefix
    assert keys[0] not in run.errors
    assert run("keys", "revoke", "alice", keys[0][:8]) == 0
    assert run("keys", "list", "alice") == 0
    assert [row[0] for row in run.rows()] == [keys[1][:8]]
    assert run("keys", "revoke", "alice", "all") == 0
    assert run("keys", "list", "alice") == 0
    assert run.rows() == []
    assert run("keys", "list", "alice", "--realm", "site") == 0
    assert len(run.rows()) == 1


def test_the_keys_of_a_realm_are_listed_and_revoked(run: Terminal) -> None:
    for words in (("alice",), ("bob", "--realm", "site"), ("alice", "--realm", "site")):
        assert run("keys", "create", *words) == 0
    assert run("keys", "list", "--realm", "site") == 0
    assert [(len(row), row[-1]) for row in run.rows()] == [(5, "alice"), (5, "bob")]
    for words in (("revoke",), ("list",), ("revoke", "alice")):
        assert run("keys", *words) == 2
        assert "Traceback" not in run.errors
    assert run("keys", "revoke", "--realm", "site") == 0
    assert "2 API keys of the realm site have ended" in run.errors
    assert run("keys", "list", "--realm", "site") == 0
    assert run.rows() == []
    assert run("keys", "list", "alice") == 0
    assert len(run.rows()) == 1


def test_a_new_user_has_no_keys_of_an_earlier_one(run: Terminal) -> None:
    assert run("keys", "create", "alice") == 0
    assert run("users", "add", "alice", stdin="secret\n") == 0
    assert run("keys", "list", "alice") == 0
    assert run.rows() == []


def test_the_keys_of_a_user_go_with_the_user(run: Terminal) -> None:
    for name in ("alice", "bob"):
        assert run("users", "add", name, stdin="secret\n") == 0
        assert run("keys", "create", name) == 0
    assert run("users", "remove", "alice") == 0
    for name, number in (("alice", 0), ("bob", 1)):
        assert run("keys", "list", name) == 0
        assert len(run.rows()) == number


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("users", "list"), "identity: is not configured"),
        (("users", "add", "alice"), "identity: is not configured"),
        (("keys", "list", "alice"), "api-keys.generator: is not configured"),
    ],
)
def test_what_is_not_configured_is_said(start: Start, words: tuple[str, ...], reason: str) -> None:
    run = start()
    assert run(*words) == 1
    assert reason in run.errors


def test_without_an_identity_the_realm_is_asked_for(start: Start) -> None:
    run = start(**{"api-keys": sections("sql")["api-keys"]})
    assert run("keys", "create", "alice") == 1
    assert "--realm" in run.errors
    assert run("keys", "create", "alice", "--realm", "site") == 0


def test_users_are_those_of_the_files_that_the_environment_names(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container, whose processes read these files without `-f`."""
    (tmp_path / "users.yaml").write_text(yaml.safe_dump(sections("sql")))
    run = start()
    assert run("users", "add", "alice", stdin="secret") == 1
    monkeypatch.setenv("POLYTOPE_CONFIG_FILES", str(tmp_path / "users.yaml"))
    assert run("users", "add", "alice", stdin="secret") == 0


def test_a_wrong_configuration_is_named(start: Start) -> None:
    run = start(identity={"sql": {"realms": "people"}})
    assert run("users", "list") == 1
    assert "identity.sql.realms" in run.errors


@pytest.mark.parametrize(
    "words",
    [("users",), ("users", "add"), ("users", "add", "alice", "secret"), ("users", "add", "\udcff"),
     ("keys", "revoke", "alice"), ("keys", "create", "alice", "--expiry", "1d")],
)  # fmt: skip
def test_a_wrong_command_line_is_refused(start: Start, words: tuple[str, ...]) -> None:
    assert start(**sections("sql"))(*words) == 2


def test_a_server_that_is_down_is_another_status(start: Start) -> None:
    run = start(**sections("sql", url=f"postgresql://polytope:s3cr3t@127.0.0.1:{free_port()}/polytope"))
    for words in (("users", "list"), ("keys", "create", "alice")):
        assert run(*words) == 3
        assert "try again later" in run.errors
        assert "s3cr3t" not in run.errors
        assert "Traceback" not in run.errors


def test_a_server_that_runs_notices(tmp_path: Path, start: Start) -> None:
    config = sections("sql")
    config["api-keys"]["authenticator"] = {"type": "sql"}
    part = {"people": {"type": "sql"}}
    config["authentication"] = {"cache": "10m", "people": {"authenticators": part, "authorizers": part}}
    with StandaloneServer(tmp_path / "data", config) as server:
        run = start(**config)

        def status(**headers: str) -> int:
            # What is asked again each time, so that nothing remembered counts.
            return requests.post(f"{server.url}/auth/keys", json={}, headers=headers, timeout=30).status_code

        assert run("users", "add", "alice", stdin="secret\n") == 0
        assert status(**basic("alice", "secret")) == 200
        assert run("keys", "create", "alice") == 0
        key = {"Authorization": f"Bearer {run.output.strip()}"}
        assert status(**key) == 200
        assert run("users", "passwd", "alice", stdin="other\n") == 0
        assert status(**basic("alice", "secret")) == 401
        assert status(**basic("alice", "other")) == 200
        assert run("users", "remove", "alice") == 0
        assert status(**basic("alice", "other")) == 401
        assert status(**key) == 401


def test_the_folder_is_for_this_account_only(start: Start, tmp_path: Path) -> None:
    assert start(**sections("sql"))("users", "list") == 0
    for path in (tmp_path / "data", *(tmp_path / "data").iterdir()):
        assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("typed", "status", "written"),
    [("secret\nsecret\n", 0, "Once more: "), ("secret\nsceret\n", 1, "the two passwords differ"),
     ("\x04", 1, "no password was given")],
)  # fmt: skip
def test_a_password_is_typed_twice_and_not_shown(start: Start, typed: str, status: int, written: str) -> None:
    run = start(**sections("sql"))
    keyboard, terminal = pty.openpty()
    command = [sys.executable, "-m", "polytope_server", "users", "add", *run.options, "alice"]
    with subprocess.Popen(
        command, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True
    ) as process:
        os.close(terminal)
        shown = b""
        for number, line in enumerate(typed.splitlines(keepends=True)):
            while shown.count(b": ") <= number:
                shown += os.read(keyboard, 1024)
            os.write(keyboard, line.encode())
        try:
            while more := os.read(keyboard, 1024):
                shown += more
        except OSError:  # the other side is closed
            pass
    os.close(keyboard)
    assert process.returncode == status, shown
    assert written in shown.decode()
    assert b"secret" not in shown
    assert run("users", "list") == 0
    assert len(run.rows()) == (status == 0)
