"""What the installer reads after an installation."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

CHART = Path(__file__).parents[2] / "polytope-deployment" / "charts" / "polytope"


@pytest.fixture(scope="session")
def notes(helms: Any) -> Callable[..., str]:
    """The notes for a set of values. Helm 3 makes none without a cluster."""
    helm = helms("helm4")

    def render(file: Path, overrides: Mapping[str, Any] | None = None) -> str:
        on_top = [f"--set-json={key}={json.dumps(value)}" for key, value in (overrides or {}).items()]
        answer = helm("install", "test", CHART, "--dry-run=client", "-n", "weather", "-f", file, *on_top)
        assert answer.returncode == 0, answer.stderr
        return str(answer.stdout.partition("NOTES:")[2])

    return render


VALUES = Path(__file__).with_name("values")


def test_they_render(notes: Callable[..., str], values_file: Path) -> None:
    text = notes(values_file)
    assert "Address" in text
    assert "Uninstalling" in text


def test_trial_servers_are_said_not_to_be_for_production(notes: Callable[..., str]) -> None:
    text = notes(VALUES / "trial.yaml")
    assert "mongodb, rabbitmq, redis, s3: a trial server" in text
    assert "Not for production" in text
    assert "Not for production" not in notes(VALUES / "minimal.yaml")


def test_claims_that_stay_are_named(notes: Callable[..., str]) -> None:
    assert "delete pvc test-polytope-standalone" in notes(VALUES / "standalone.yaml")
    assert "delete pvc test-weather-object-store" in notes(VALUES / "everything.yaml")


def test_that_nothing_stays_is_said(notes: Callable[..., str]) -> None:
    assert "leaves nothing of this release" in notes(VALUES / "trial.yaml")
    gone = {"standalone.persistence.retain": False}
    assert "leaves nothing of this release" in notes(VALUES / "standalone.yaml", gone)


def test_the_address_is_that_of_the_ingress(notes: Callable[..., str]) -> None:
    assert "https://polytope.example.org" in notes(VALUES / "everything.yaml")
    assert "port-forward svc/test-polytope 5000:80" in notes(VALUES / "minimal.yaml")


def test_a_proxy_that_can_be_passed_by_is_mentioned(notes: Callable[..., str]) -> None:
    warning = "networkPolicy.frontendFrom is empty"
    assert warning not in notes(VALUES / "minimal.yaml")
    behind = {"ingress.enabled": True, "ingress.hosts": ["a.example.org"]}
    assert warning in notes(VALUES / "minimal.yaml", behind)


def test_missing_collections_are_mentioned(notes: Callable[..., str]) -> None:
    assert "There is no collection yet" in notes(VALUES / "minimal.yaml")
    assert "There is no collection yet" not in notes(VALUES / "trial.yaml")


def test_a_writable_root_is_mentioned(notes: Callable[..., str]) -> None:
    assert "for development only" in notes(CHART / "development-values.yaml")


def test_queues_that_the_chart_cannot_see_are_mentioned(notes: Callable[..., str]) -> None:
    warning = "Queues that are named in files of vault only"
    secret = {"existingSecretConfig.name": "vault"}
    pools = [{"name": "general"}, {"name": "tape", "queues": ["tape"]}]
    assert warning in notes(VALUES / "minimal.yaml", {**secret, "workers": pools})
    assert warning not in notes(VALUES / "minimal.yaml", {"workers": pools})
    # A single pool serves all queues, by the server's own count.
    assert warning not in notes(VALUES / "minimal.yaml", secret)
