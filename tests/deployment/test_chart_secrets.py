"""Secrets of the chart: where they are, and what is in them."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from polytope_server.config import Configuration


def test_no_secret_is_in_anything_but_secrets(rendered: Any) -> None:
    secrets = {
        value
        for secret in rendered.of_kind("Secret")
        for name, encoded in secret["data"].items()
        if not name.endswith("USERNAME")
        for value in (encoded, base64.b64decode(encoded).decode())
    }
    for found in rendered.objects:
        if found["kind"] != "Secret":
            assert not [value for value in secrets if value in str(found)]


def test_secrets_of_the_values_become_variables_of_every_process(render: Any) -> None:
    rendered = render("minimal", {"secrets.values": {"MARS_TOKEN": "token-of-mars"}})
    data = rendered.one("Secret", "-secrets")["data"]
    assert base64.b64decode(data["MARS_TOKEN"]) == b"token-of-mars"
    for pod in rendered.pods().values():
        sources = [each["secretRef"]["name"] for each in pod["spec"]["containers"][0]["envFrom"]]
        # The later one wins.
        assert sources == ["test-polytope-secrets", "polytope"]


def test_random_secrets_are_long_and_different(render: Any) -> None:
    data = render("trial").one("Secret", "-secrets")["data"]
    made = {name: base64.b64decode(value) for name, value in data.items() if not name.endswith("USERNAME")}
    assert made.keys() == {
        *("POLYTOPE_KEY", "OBJECT_STORE_TOKEN", "TEST_PASSWORD"),
        *("MONGODB_PASSWORD", "RABBITMQ_PASSWORD", "REDIS_PASSWORD", "S3_ACCESS_KEY", "S3_SECRET_KEY"),
    }
    assert len(set(made.values())) == len(made)
    assert all(len(value) >= 32 for value in made.values())


def test_there_is_no_secret_if_nothing_is_in_it(render: Any) -> None:
    assert not render("minimal", {"secrets.generated": []}).of_kind("Secret")


def test_files_of_a_secret_win_over_config(render: Any, loaded: Callable[..., Configuration]) -> None:
    files = {"existingSecretConfig": {"name": "vault", "files": ["a.yaml", "b.yaml"]}}
    rendered = render("minimal", files | {"config": {"broker": {"interval": 2, "lease": 4}}})
    secret = {"a.yaml": "{broker: {interval: 3}, worker: {concurrency: 99}}", "b.yaml": "broker: {lease: 5}"}
    settings = loaded(rendered, "-worker-default", secret).settings
    assert (settings.broker.interval, settings.broker.lease) == (3, 5)
    assert settings.worker.concurrency == 4


def test_logins_may_be_in_a_file_of_a_secret(helm: Any) -> None:
    overrides = {"secrets.existing": [], "existingSecretConfig.name": "vault"}
    assert helm.try_template("minimal", overrides).returncode == 0
