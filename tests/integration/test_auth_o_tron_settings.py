"""The configuration of auth-o-tron: warnings and mistakes."""

import json
from pathlib import Path
from typing import Any

import pytest

from polytope_server.config import load
from polytope_server.settings import ConfigurationError


def loaded(tmp_path: Path, text: str) -> Any:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return load([path], system_file=tmp_path / "none")


def section(**keys: str) -> str:
    return json.dumps({"authentication": {"auth-o-tron": keys}})


LONG = "x" * 32


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"url": "https://auth.example.org/", "secret": LONG}, []),
        ({"secret": LONG}, []),
        ({"url": "auth-o-tron-svc:8080", "secret": LONG}, ["taken as http://auth-o-tron-svc:8080"]),
        ({"url": "[::1]:8080/path", "secret": LONG}, ["taken as http://[::1]:8080/path"]),
        ({"url": "http://a", "secret": LONG[1:]}, ["fewer than 32 characters"]),
    ],
)
def test_what_may_be_a_mistake_draws_a_warning(
    tmp_path: Path, keys: dict[str, str], expected: list[str]
) -> None:
    found = loaded(tmp_path, section(**keys)).warnings
    assert len(found) == len(expected)
    assert all(word in text for word, text in zip(expected, found, strict=True))
    assert all(f"config.yaml:1: authentication.auth-o-tron: {word}" for word in found)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"url": "http://a"}, "authentication.auth-o-tron.secret: is missing: The secret with which"),
        ({"secret": ""}, "authentication.auth-o-tron.secret: "),
        ({"secret": LONG, "url": "ftp://a"}, "auth-o-tron.url: value 'ftp://a': expected an address such as"),
        ({"secret": LONG, "url": "http://a?b"}, "expected an address such as"),
        ({"secret": LONG, "url": ""}, "expected an address such as"),
        ({"secret": LONG, "timeout": "never"}, "authentication.auth-o-tron.timeout: value 'never': expected"),
        ({"secret": LONG, "authenticators": ""}, "unknown key; known: url, secret, timeout"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, keys: dict[str, str], expected: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        loaded(tmp_path, section(**keys))
    assert len(caught.value.problems) == 1
    assert expected in str(caught.value)
    assert LONG not in str(caught.value)
