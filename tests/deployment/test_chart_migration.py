"""The values of the earlier chart, as `config migrate --chart` writes them, deploy this one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from polytope_server.commands import main as cli
from polytope_server.config import Configuration, load

EARLIER = Path(__file__).parents[1] / "unit" / "config" / "earlier_chart"
#: What a person fills in: of the earlier chart's Secrets, and of log-ins that its values did not have.
FILLED_IN = {"LDAP_PASSWORD": "word", "RABBITMQ_USERNAME": "name", "RABBITMQ_PASSWORD": "word"}


@pytest.fixture(scope="module", params=["basic", "values"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the files are that the command has written."""
    made = tmp_path_factory.mktemp(request.param)
    options = ["--write", str(made / "new.yaml"), "--chart", str(made / "values.yaml")]
    assert cli.main(["config", "migrate", str(EARLIER / f"{request.param}.yaml"), *options]) == 1
    return made


@pytest.fixture
def migrated(folder: Path, render_file: Callable[..., Any]) -> Any:
    lines = (folder / "values.secrets").read_text().splitlines()
    secrets = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
    return render_file(folder / "values.yaml", FILLED_IN | secrets)


def test_each_process_reads_what_the_earlier_server_read(
    folder: Path, migrated: Any, loaded: Callable[..., Configuration]
) -> None:
    written = load([folder / "new.yaml"], environ=migrated.variables(), system_file=folder / "none")
    for pod in ("-frontend", "-broker", "-worker-default", "-garbage-collector"):
        found = loaded(migrated, pod)
        found.check_secrets()
        assert found.collections == written.collections
        for section in ("authentication", "api_keys", "admin", "request_store"):
            assert getattr(found.settings, section) == getattr(written.settings, section), section
        (name,) = found.settings.staging
        assert name in written.settings.staging
    assert written.settings.worker.concurrency != 1
    assert loaded(migrated, "-worker-default").settings.worker.concurrency == 1


def test_the_pods_get_the_secrets_that_are_to_be_made(migrated: Any) -> None:
    for name, pod in migrated.pods().items():
        if not name.endswith("-check"):
            (container,) = pod["spec"]["containers"]
            sources = [each["secretRef"]["name"] for each in container["envFrom"]]
            assert "polytope" in sources, name


def test_there_are_as_many_pods_as_before(folder: Path, migrated: Any) -> None:
    expected = {"basic": (1, 1), "values": (3, 12)}[folder.name.rstrip("0123456789")]
    replicas = [
        migrated.one("Deployment", end)["spec"]["replicas"] for end in ("-frontend", "-worker-default")
    ]
    assert tuple(replicas) == expected
