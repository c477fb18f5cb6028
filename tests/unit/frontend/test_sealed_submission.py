"""What is sealed with a request when it is submitted, and when that is refused."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import falcon
import pytest
import yaml

from polytope_server.config import load
from polytope_server.datasource.echo import EchoDataSource
from polytope_server.frontend.services import Services
from polytope_server.frontend.submission import make_request
from polytope_server.user import User
from testbed.server import CONFIG

PIA = User("pia", "test", attributes={"ecmwf-apikey": "the key", "ecmwf-email": "a@b", "other": "x"})
BODY = {"verb": "retrieve", "request": "x"}
RABBITMQ = {"queue": {"rabbitmq": {}}}


@pytest.fixture
def services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Services]:
    """Makes the services of a server whose data source `echo` needs two attributes, not yet open."""

    def needed(cls: type, settings: Any) -> Collection[str]:
        return ("ecmwf-apikey", "ecmwf-email")

    monkeypatch.setattr(EchoDataSource, "user_attributes", classmethod(needed))

    def make(**sections: Any) -> Services:
        file = tmp_path / "config.yaml"
        file.write_text(yaml.safe_dump({**CONFIG, **sections}))
        return Services(load([file]), tmp_path)

    return make


def submitted(services: Services, collection: str, user: User = PIA) -> Any:
    return make_request(services, services.collections[collection], user, BODY)


def test_what_the_data_source_needs_is_sealed_for_this_request(services: Callable[..., Services]) -> None:
    made = services()
    request = submitted(made, "echo")
    assert made.seals is not None
    assert made.seals.open(request.sealed, request.id) == {"ecmwf-apikey": "the key", "ecmwf-email": "a@b"}
    assert "the key" not in f"{request!r} {request.to_document()} {request.sealed}"


def test_for_a_data_source_that_needs_nothing_nothing_is_sealed(services: Callable[..., Services]) -> None:
    assert submitted(services(), "dummy").sealed == ""


def test_of_a_user_without_it_nothing_is_sealed(services: Callable[..., Services]) -> None:
    assert submitted(services(), "echo", User("pia", "test")).sealed == ""


def test_without_a_key_that_machines_share_it_is_refused(services: Callable[..., Services]) -> None:
    made = services(**RABBITMQ)
    with pytest.raises(falcon.HTTPError) as caught:
        submitted(made, "echo")
    assert caught.value.status_code == 501
    assert "secrets.keys" in str(caught.value.description)
    assert submitted(made, "dummy").sealed == ""


def test_with_one_it_is_not(services: Callable[..., Services]) -> None:
    assert submitted(services(**RABBITMQ, secrets={"keys": ["k" * 32]}), "echo").sealed
