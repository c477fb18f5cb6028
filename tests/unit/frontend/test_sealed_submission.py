"""What is sealed with a request when it is submitted, and when that is refused."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest
import yaml

from polytope_server.config import load
from polytope_server.datasource.echo import EchoDataSource
from polytope_server.frontend.composition import compose
from polytope_server.frontend.refusals import Kind, RefusedError
from polytope_server.frontend.services import Services
from polytope_server.frontend.validation import Draft
from polytope_server.secrets.deployment_key import DeploymentKeys
from polytope_server.secrets.sealing import REQUESTS, Seals
from polytope_server.settings import Settings
from polytope_server.user import User
from testbed.server import CONFIG

PIA = User("pia", "test", attributes={"ecmwf-apikey": "the key", "ecmwf-email": "a@b", "other": "x"})
DRAFT = Draft("retrieve", "x")
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
        return compose(load([file]), tmp_path)

    return make


def submitted(services: Services, collection: str, user: User = PIA) -> Any:
    return services.submissions.validation.request_of(user, services.collections[collection], DRAFT)


def test_what_the_data_source_needs_is_sealed_for_this_request(
    services: Callable[..., Services], tmp_path: Path
) -> None:
    request = submitted(services(), "echo")
    seals = Seals(DeploymentKeys(Settings().secrets, tmp_path), REQUESTS)  # as a worker has them
    assert seals.open(request.sealed, request.id) == {"ecmwf-apikey": "the key", "ecmwf-email": "a@b"}
    assert "the key" not in f"{request!r} {request.to_document()} {request.sealed}"


def test_for_a_data_source_that_needs_nothing_nothing_is_sealed(services: Callable[..., Services]) -> None:
    assert submitted(services(), "dummy").sealed == ""


def test_of_a_user_without_it_nothing_is_sealed(services: Callable[..., Services]) -> None:
    assert submitted(services(), "echo", User("pia", "test")).sealed == ""


def test_without_a_key_that_machines_share_it_is_refused(services: Callable[..., Services]) -> None:
    made = services(**RABBITMQ)
    with pytest.raises(RefusedError) as caught:
        submitted(made, "echo")
    assert caught.value.kind is Kind.UNSUPPORTED
    assert "secrets.keys" in caught.value.reason
    assert submitted(made, "dummy").sealed == ""


def test_with_one_it_is_not(services: Callable[..., Services]) -> None:
    assert submitted(services(**RABBITMQ, secrets={"keys": ["k" * 32]}), "echo").sealed
