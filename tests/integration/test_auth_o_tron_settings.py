"""The configuration of auth-o-tron: warnings and mistakes."""

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from polytope_server.config import load
from polytope_server.settings import ConfigurationError


def loaded(tmp_path: Path, text: str) -> Any:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return load([path], system_file=tmp_path / "none")


def section(**keys: Any) -> str:
    return json.dumps({"authentication": {"auth-o-tron": keys}})


LONG = "x" * 32


def public(key: Any) -> str:
    found: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return found.decode()


KEY = rsa.generate_private_key(65537, 2048)
KEYS = {"a": public(KEY)}
PRIVATE = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
WEAK, CURVE = public(rsa.generate_private_key(65537, 1024)), public(ec.generate_private_key(ec.SECP256R1()))
OF_04 = {"issuer": "i", "audience": "a"}


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"url": "https://auth.example.org/", "secret": LONG}, []),
        ({"secret": LONG}, []),
        ({"url": "auth-o-tron-svc:8080", "secret": LONG}, ["taken as http://auth-o-tron-svc:8080"]),
        ({"url": "[::1]:8080/path", "secret": LONG}, ["taken as http://[::1]:8080/path"]),
        ({"url": "http://a", "secret": LONG[1:]}, ["fewer than 32 characters"]),
        ({"public_keys": KEYS, **OF_04}, []),
        ({"jwks_url": "https://a/keys", **OF_04}, []),
        ({"jwks_url": "http://a/keys", **OF_04}, ["anyone between this server and jwks_url can log in"]),
    ],
)
def test_what_may_be_a_mistake_draws_a_warning(
    tmp_path: Path, keys: dict[str, Any], expected: list[str]
) -> None:
    found = loaded(tmp_path, section(**keys)).warnings
    assert len(found) == len(expected)
    assert all(word in text for word, text in zip(expected, found, strict=True))
    assert all(f"config.yaml:1: authentication.auth-o-tron: {word}" for word in found)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"url": "http://a"}, "expected one of secret (auth-o-tron up to 0.3), public_keys and"),
        ({"url": "http://a"}, "by which tokens are checked; found none"),
        ({"secret": LONG, "public_keys": KEYS}, "found secret and public_keys"),
        ({"jwks_url": "https://a/keys", "public_keys": KEYS}, "found public_keys and jwks_url"),
        (
            {"public_keys": KEYS},
            "public_keys needs issuer and audience, as in the section jwt of auth-o-tron",
        ),
        ({"public_keys": KEYS, "issuer": "i"}, "public_keys needs audience"),
        ({"jwks_url": "https://a/keys", "audience": "a"}, "jwks_url needs issuer"),
        (
            {"jwks_url": "a/keys", **OF_04},
            "auth-o-tron.jwks_url: value 'a/keys': expected an address such as",
        ),
        ({"secret": LONG, "issuer": "i"}, "issuer and audience need public_keys or jwks_url"),
        (
            {"public_keys": {"a": "x"}, **OF_04},
            "expected public RSA keys of 2048 bits or more by kid",
        ),
        ({"public_keys": {"a": WEAK}, **OF_04}, "the one of 'a' is none"),
        ({"public_keys": {"a": PRIVATE}, **OF_04}, "the one of 'a' is none"),
        ({"public_keys": {"a": CURVE}, **OF_04}, "the one of 'a' is none"),
        ({"public_keys": {"": KEYS["a"]}, **OF_04}, "the one of '' is none"),
        ({"secret": ""}, "authentication.auth-o-tron.secret: "),
        ({"secret": LONG, "url": "ftp://a"}, "auth-o-tron.url: value 'ftp://a': expected an address such as"),
        ({"secret": LONG, "url": "http://a?b"}, "expected an address such as"),
        ({"secret": LONG, "url": ""}, "expected an address such as"),
        ({"secret": LONG, "timeout": "never"}, "authentication.auth-o-tron.timeout: value 'never': expected"),
        ({"secret": LONG, "authenticators": ""}, "unknown key; known: "),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, keys: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        loaded(tmp_path, section(**keys))
    assert len(caught.value.problems) == 1
    assert expected in str(caught.value)
    assert LONG not in str(caught.value)
    assert "PRIVATE" not in str(caught.value)
