from pathlib import Path

import pytest

from polytope_server.secrets.deployment_key import DeploymentKeys
from polytope_server.secrets.sealing import Seals, UnsealableError
from polytope_server.settings.secrets import SecretsSettings

OLD, NEW = "o" * 32, "n" * 32
SECRETS = {"ecmwf-apikey": "a key ü", "ecmwf-email": "me@example.org"}


def seals(*keys: str, purpose: str = "requests") -> Seals:
    return Seals(DeploymentKeys(SecretsSettings.model_validate({"keys": keys}), Path("/nowhere")), purpose)


def test_what_is_sealed_is_opened_where_it_belongs() -> None:
    sealed = seals(NEW).seal(SECRETS, "request 1")
    assert not any(value in sealed for value in SECRETS.values())
    assert seals(NEW).open(sealed, "request 1") == SECRETS


def test_nothing_is_sealed_as_nothing() -> None:
    assert seals(NEW).seal({}, "request 1") == ""
    assert seals(NEW).open("", "request 1") == {}


def test_no_two_seals_are_alike() -> None:
    assert seals(NEW).seal(SECRETS, "request 1") != seals(NEW).seal(SECRETS, "request 1")


def test_it_cannot_be_moved_to_another_request() -> None:
    with pytest.raises(UnsealableError):
        seals(NEW).open(seals(NEW).seal(SECRETS, "request 1"), "request 2")


def test_it_cannot_be_used_for_another_purpose() -> None:
    with pytest.raises(UnsealableError):
        seals(NEW, purpose="credentials").open(seals(NEW).seal(SECRETS, "x"), "x")


@pytest.mark.parametrize("place", [0, 10, 15, 40, -1])
def test_it_cannot_be_changed(place: int) -> None:
    sealed = list(seals(NEW).seal(SECRETS, "request 1"))
    sealed[place] = "A" if sealed[place] != "A" else "B"
    with pytest.raises(UnsealableError):
        seals(NEW).open("".join(sealed), "request 1")


@pytest.mark.parametrize("text", ["sealed.v1.", "sealed.v1.AAAA", "x", "sealed.v1.ü", "sealed.v1.A"])
def test_what_was_never_sealed_is_refused(text: str) -> None:
    with pytest.raises(UnsealableError):
        seals(NEW).open(text, "request 1")


def test_a_new_key_opens_what_an_old_one_sealed_until_that_is_taken_away() -> None:
    sealed = seals(OLD).seal(SECRETS, "request 1")
    assert seals(NEW, OLD).open(sealed, "request 1") == SECRETS
    with pytest.raises(UnsealableError, match="key that this process lacks"):
        seals(NEW).open(sealed, "request 1")
    # The first one seals.
    assert seals(NEW).open(seals(NEW, OLD).seal(SECRETS, "r"), "r") == SECRETS
