import io
import socket
from pathlib import Path

import argon2
import pytest
import yaml

from polytope_server.commands import builtin
from polytope_server.commands import main as cli
from polytope_server.config import load
from polytope_server.runtime import data_folder


def test_the_data_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.delenv("POLYTOPE_DATA", raising=False)
    assert data_folder.default() == tmp_path / "polytope-server"
    monkeypatch.setenv("POLYTOPE_DATA", str(tmp_path / "own"))
    assert data_folder.default() == tmp_path / "own"


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert cli.main(["worker", "--data", str(tmp_path / "file")]) == 1
    assert "cannot use the data folder" in capsys.readouterr().err


def test_a_wrong_configuration_is_named_and_nothing_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "c.yaml").write_text("frontend: {prot: 5000}\n")
    assert cli.main(["standalone", "-f", str(tmp_path / "c.yaml"), "--data", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert "frontend.prot" in error
    assert "port" in error


@pytest.mark.parametrize("name", ["frontend", "standalone", "object-store", "config check"])
def test_the_name_of_a_variable_that_is_not_set_lets_nobody_in(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TOKEN_OF_THE_OBJECT_STORE", raising=False)
    (tmp_path / "c.yaml").write_text("staging: {polytope: {token: $TOKEN_OF_THE_OBJECT_STORE}}")
    data = [] if name == "config check" else ["--data", str(tmp_path)]
    assert cli.main([*name.split(), "-f", str(tmp_path / "c.yaml"), *data]) == 1
    assert "the variable TOKEN_OF_THE_OBJECT_STORE is not set" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["frontend", "standalone", "config check"])
def test_nothing_starts_without_the_schedule_that_a_data_source_obeys(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SCHEDULE_ENABLED", raising=False)
    (tmp_path / "c.yaml").write_text(
        "datasources: {d: {type: echo, obey_schedule: true}}\n"
        "collections: {c: {roles: {r: any}, datasources: [d]}}\n"
    )
    data = [] if name == "config check" else ["--data", str(tmp_path)]
    assert cli.main([*name.split(), "-f", str(tmp_path / "c.yaml"), *data]) == 1
    assert "data source 'd' has obey_schedule, but there is no schedule" in capsys.readouterr().err


def test_a_port_in_use_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = {"frontend": {"bind_to": "127.0.0.1", "port": port}}
        (tmp_path / "c.yaml").write_text(yaml.safe_dump(config))
        assert cli.main(["standalone", "-f", str(tmp_path / "c.yaml"), "--data", str(tmp_path)]) == 1
    assert f"cannot listen on 127.0.0.1, port {port}" in capsys.readouterr().err


def test_the_built_in_configuration_is_valid_and_its_password_is_kept(tmp_path: Path) -> None:
    file = builtin.prepare(tmp_path)
    configuration = load([file], system_file=tmp_path / "none")
    configuration.check_secrets()
    assert list(configuration.collections) == ["echo", "dummy"]
    password = (tmp_path / "password").read_text()
    assert len(password) > 12
    builtin.prepare(tmp_path)
    assert (tmp_path / "password").read_text() == password
    assert (tmp_path / "password").stat().st_mode & 0o077 == 0


def test_the_hash_of_a_password_is_printed_without_a_configuration(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLYTOPE_CONFIG_FILES", "/none.yaml")
    monkeypatch.setattr("sys.stdin", io.StringIO("sesame\n"))
    assert cli.main(["users", "hash"]) == 0
    printed = capsys.readouterr()
    assert argon2.PasswordHasher().verify(printed.out.removesuffix("\n"), "sesame")
    assert printed.err == ""


@pytest.mark.parametrize("password", ["\n", "x" * 5000])
def test_there_is_no_hash_of_what_is_no_password(
    password: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(password))
    assert cli.main(["users", "hash"]) == 1
    assert capsys.readouterr().out == ""


def test_a_password_in_clear_text_starts_nothing_that_authenticates(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    users = {"type": "plain", "users": [{"uid": "alice", "password": "sesame"}]}
    file = tmp_path / "c.yaml"
    file.write_text(yaml.safe_dump({"authentication": {"site": {"authenticators": {"plain": users}}}}))
    for name in ("frontend", "standalone"):
        assert cli.main([name, "-f", str(file), "--data", str(tmp_path)]) == 1
        assert "the password of 'alice' is clear text" in capsys.readouterr().err
