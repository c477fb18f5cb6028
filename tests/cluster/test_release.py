"""The chart with its trial services, from installation to removal. The tests run in this order."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from kubectl import CHART, COMPONENT, RELEASE, CommandError, run, until
from polytope.api import Client
from releases import Release, fixture

ROOT = Path(__file__).parents[2]

release = fixture("suite", "suite.yaml", 30081)


def test_it_installs_under_the_restricted_standard(
    release: Release, record_property: pytest.RecordProperty
) -> None:
    seconds = release.install()
    record_property("seconds from helm install to ready", round(seconds, 1))
    print(f"helm install to ready: {seconds:.0f} s")
    release.reach(30081)
    pods = release.namespace.get("pods", "-l", f"{RELEASE}={release.name}")
    assert {pod["metadata"]["labels"][COMPONENT] for pod in pods} >= {
        "frontend", "broker", "garbage-collector"
    }  # fmt: skip


def test_the_server_takes_every_manifest(release: Release) -> None:
    """Checked by the API server itself, which warns of what the Pod Security Standard forbids."""
    rendered = release.namespace.helm("template", release.name, str(CHART), *release.values)
    options = ("--server-side", "--force-conflicts", "--dry-run=server", "--warnings-as-errors")
    said = release.namespace.kubectl("apply", *options, "-f", "-", text=rendered)
    assert said.count("serverside-applied") == rendered.count("\nkind: ")


def test_helm_test_submits_and_downloads(release: Release) -> None:
    assert "Phase:          Succeeded" in release.namespace.helm("test", release.name, "--timeout", "5m")


def test_the_published_client_retrieves_from_outside(release: Release, tmp_path: Path) -> None:
    retrieve(release, tmp_path)


def test_the_suite_for_any_deployment_passes(release: Release) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "tests/integration", "--config", str(release.configuration()), "-q",
         "-p", "no:cacheprovider"],
        cwd=ROOT, env=os.environ, check=False, capture_output=True, text=True,
    )  # fmt: skip
    print(done.stdout[-3000:])
    assert done.returncode == 0


def test_a_configuration_that_is_refused_changes_nothing(release: Release) -> None:
    before = release.namespace.get("deployments,configmaps,secrets", "-l", f"{RELEASE}={release.name}")
    with pytest.raises(CommandError, match="pre-upgrade hooks failed"):
        release.upgrade("config.collections.slow.limitz.total=3")
    job = f"job/{release.name}-polytope-check"
    assert "did you mean 'limits'" in release.namespace.kubectl("logs", job, "--all-containers")
    after = release.namespace.get("deployments,configmaps,secrets", "-l", f"{RELEASE}={release.name}")
    assert [each["metadata"]["uid"] for each in after] == [each["metadata"]["uid"] for each in before]
    assert [each.get("data", each.get("spec")) for each in after] == [
        each.get("data", each.get("spec")) for each in before
    ]


def test_an_upgrade_disturbs_no_call(release: Release) -> None:
    before = {kind: set(release.namespace.ready(release.name, kind)) for kind in ("frontend", "broker")}
    with release.load() as load:
        until(lambda: load.done > 20)
        # A changed value of the configuration: every process restarts.
        release.upgrade("config.collections.slow.limits.per-user=100")
    for kind, pods in before.items():
        until(lambda kind=kind, pods=pods: not pods & set(release.namespace.ready(release.name, kind)))  # type: ignore[misc]
    assert not load.failures, "\n".join(load.failures)


@pytest.mark.parametrize(
    "component",
    [
        "frontend",
        "broker",
        "worker",
        "garbage-collector",
        "trial-mongodb",
        "trial-rabbitmq",
        "trial-redis",
        "trial-s3",
    ],
)
def test_a_deleted_pod_loses_nothing(release: Release, component: str) -> None:
    (victim, name), *_ = release.namespace.ready(release.name, component).items()
    with release.load() as load:
        until(lambda: load.done > 20)
        release.namespace.kubectl("delete", "pod", name)
        until(lambda: set(release.namespace.ready(release.name, component)) - {victim})
    if component in ("broker", "worker", "garbage-collector", "trial-redis"):
        assert not load.failures, "\n".join(load.failures)


def test_a_pool_is_scaled_up_and_down(release: Release) -> None:
    with release.load() as load:
        for replicas in (3, 1):
            release.upgrade(f"workers[0].name=default,workers[0].replicas={replicas}")
            until(lambda n=replicas: len(release.namespace.ready(release.name, "worker")) == n)  # type: ignore[misc]
    assert not load.failures, "\n".join(load.failures)


def test_a_rollback_disturbs_no_call(release: Release, tmp_path: Path) -> None:
    with release.load() as load:
        release.namespace.helm("rollback", release.name, "1", "--wait", "--timeout", "10m")
    assert not load.failures, "\n".join(load.failures)
    retrieve(release, tmp_path)


def test_uninstalling_leaves_nothing(release: Release) -> None:
    release.namespace.helm("uninstall", release.name, "--wait", "--timeout", "5m")
    until(lambda: left(release) == [], what="an empty namespace")


def retrieve(release: Release, folder: Path) -> None:
    """Retrieve with polytope-client."""
    user, password = release.user
    (folder / "keys").write_text("{}")
    host, _, port = release.url.rpartition(":")
    client = Client(
        config_path=str(folder), key_path=str(folder / "keys"), address=host, port=int(port),
        username=user, password=password, insecure=True, quiet=True,
    )  # fmt: skip
    client.retrieve("echo", "what is asked for", str(folder / "result"))
    assert (folder / "result").read_text() == "what is asked for"


def left(release: Release) -> list[str]:
    """What is left of a release in its namespace, and in the cluster."""
    kinds = run("kubectl", "api-resources", "--verbs=list,delete", "-o", "name").split()
    found = []
    for scope in (["--namespace", release.namespace.name], ["--all-namespaces"]):
        found += run(
            *("kubectl", "get", ",".join(kinds), *scope, "-l", f"{RELEASE}={release.name}"),
            *("-o", "name", "--ignore-not-found"),
        ).split()
    secrets = release.namespace.kubectl("get", "secrets", "-o", "name").split()
    return sorted({*found, *secrets})
