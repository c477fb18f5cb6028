from pathlib import Path

import pytest

from polytope_server.commands.main import main
from polytope_server.settings import ConfigurationError, backend_settings
from polytope_server.settings.masking import mask
from polytope_server.staging.polytope import PolytopeStagingSettings

TOKEN = "0123456789abcdef"


def settings(**keys: object) -> PolytopeStagingSettings:
    return PolytopeStagingSettings.model_validate({"token": TOKEN, **keys})


def problem(**keys: object) -> str:
    with pytest.raises(ConfigurationError) as found:
        backend_settings("staging", "polytope", keys, "staging.polytope")
    return str(found.value)


def test_an_earlier_servers_keys_are_understood() -> None:
    keys = settings(host="0.0.0.0", port="8000", root_dir="/home/polytope/data", url=None)
    assert str(keys.address) == "http://localhost:8000"
    assert keys.listen_on == "0.0.0.0"
    assert keys.root_dir == Path("/home/polytope/data")


def test_without_a_token_it_is_said_how_to_make_one() -> None:
    text = problem(host="0.0.0.0")
    assert text.startswith("configuration: staging.polytope.token: is missing: Secret for writing")
    assert "openssl rand -hex 32" in text


@pytest.mark.parametrize("token", ["", "short", "x" * 15, "with a space in between", "with an umlaut: ü" * 2])
def test_a_bad_token_is_refused_and_not_shown(token: str) -> None:
    text = problem(token=token)
    assert "at least 16 characters" in text
    assert not token or token not in text


def test_the_token_does_not_show() -> None:
    keys = settings(token="the-secret-of-tests")
    assert "the-secret-of-tests" not in repr(keys) + str(keys) + str(mask(keys.model_dump()))


@pytest.mark.parametrize(
    ("keys", "address", "listen_on"),
    [
        ({}, "http://localhost:8000", "localhost"),
        ({"host": "::"}, "http://localhost:8000", "::"),
        ({"host": "127.0.0.1"}, "http://127.0.0.1:8000", "127.0.0.1"),
        ({"host": "store.example.org"}, "http://store.example.org:8000", "0.0.0.0"),
        ({"host": "2001:db8::1", "port": 81}, "http://[2001:db8::1]:81", "0.0.0.0"),
        ({"host": "store", "bind_to": "10.0.0.1"}, "http://store:8000", "10.0.0.1"),
    ],
)
def test_where_it_is_and_where_it_listens(keys: dict[str, object], address: str, listen_on: str) -> None:
    assert (str(settings(**keys).address), settings(**keys).listen_on) == (address, listen_on)


@pytest.mark.parametrize(
    "keys", [{"quota": 0}, {"quota": "x"}, {"port": "x"}, {"url": "ftp://x"}, {"hots": "x"}]
)
def test_what_makes_no_sense_is_refused(keys: dict[str, object]) -> None:
    assert f"staging.polytope.{next(iter(keys))}" in problem(token=TOKEN, **keys)


def test_a_quota_is_a_size() -> None:
    assert settings(quota="10G").quota == 10 << 30


def test_the_process_serves_no_other_staging(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("staging: {local: {}}\n")
    assert main(["object-store", "-f", str(file), "--data", str(tmp_path)]) == 1
    assert "staging: is 'local'; the object store serves `staging.polytope` only" in capsys.readouterr().err
