"""Secrets of the chart: where they are, and what is in them."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from polytope_server.config import Configuration
from polytope_server.redaction import is_secret


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
    for name, pod in rendered.pods().items():
        if name.endswith("-check"):
            continue
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


def test_a_file_of_a_secret_may_change_parts_of_a_section(
    render: Any, loaded: Callable[..., Configuration]
) -> None:
    """Each process reads it together with what it changes, the object store too."""
    rendered = render("postgresql-rabbitmq-objectstore-memcached", {"existingSecretConfig.name": "vault"})
    secret = {"secret.yaml": "identity: {sql: {extra-users: [{uid: a, password: $RABBITMQ_PASSWORD}]}}"}
    for pod in ("-frontend", "-broker", "-worker-default", "-garbage-collector", "-object-store"):
        assert loaded(rendered, pod, secret).raw["identity"]["sql"]["realm"] == "users"


def test_logins_may_be_in_a_file_of_a_secret(helm: Any) -> None:
    overrides = {"secrets.existing": [], "existingSecretConfig.name": "vault"}
    assert helm.try_template("minimal", overrides).returncode == 0


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("staging.s3.secret_key", "abc"),
        ("secrets.keys", ["0123456789abcdef0123456789abcdef"]),
        ("authentication.a.authenticators.b.users", [{"uid": "c", "password": "abc"}]),
        ("request_store.sql.url", "postgresql://name:word@db/polytope"),
        ("datasources.a.headers", {"Authorization": "Bearer abc"}),
    ],
)
def test_a_secret_in_clear_text_is_refused(any_helm: Any, path: str, value: Any) -> None:
    for place in ("config", "workerDefaults.config"):
        answer = any_helm.try_template("minimal", {f"{place}.{path}": value})
        assert answer.returncode != 0
        assert f"{place}.{path}" in answer.stderr
        assert "$NAME" in answer.stderr


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("staging.s3.secret_key", "$S3"),
        ("staging.s3.secret_key", ""),
        ("authentication.a.authenticators.b.users", [{"uid": "c", "password": "$argon2id$v=19$m=8$abc"}]),
        ("request_store.sql.url", "postgresql://name:$WORD@db/polytope"),
        ("datasources.a.headers", {"Authorization": "Bearer ${TOKEN}"}),
        ("authentication.a.authenticators.b.token_in", "header"),
        ("datasources.a.url", "https://example.org/~name:word/@1"),
    ],
)
def test_what_is_no_secret_is_not(any_helm: Any, path: str, value: Any) -> None:
    assert any_helm.try_template("minimal", {f"config.{path}": value}).returncode == 0


def test_the_chart_knows_all_keys_that_are_secrets(helm: Any) -> None:
    """Those that the server hides, but for the one that says where a token travels."""
    page = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text()
    keys = {key.rpartition(".")[2] for key in re.findall(r"^\| `([\w.\[\]-]+)` \|", page, re.MULTILINE)}
    secret = {key for key in keys if is_secret(key)} - {"token_in"}
    assert len(secret) > 6
    for key in secret:
        assert helm.try_template("minimal", {f"config.a.{key}": "abc"}).returncode != 0, key
