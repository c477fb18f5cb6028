"""The chart as one pod that runs `standalone` on a volume. The tests run in this order."""

from __future__ import annotations

from pathlib import Path

from kubectl import until
from releases import Release, fixture
from test_release import left, retrieve

release = fixture("single", "standalone.yaml", 30082)


def test_it_installs(release: Release) -> None:
    print(f"helm install to ready: {release.install():.0f} s")
    release.reach(30082)


def test_helm_test_submits_and_downloads(release: Release) -> None:
    assert "Phase:          Succeeded" in release.namespace.helm("test", release.name, "--timeout", "5m")


def test_the_published_client_retrieves_from_outside(release: Release, tmp_path: Path) -> None:
    retrieve(release, tmp_path)


def test_a_deleted_pod_loses_nothing(release: Release, tmp_path: Path) -> None:
    """Calls may fail while it starts again."""
    ((victim, name),) = release.namespace.ready(release.name, "standalone").items()
    with release.load() as load:
        until(lambda: load.done > 20)
        release.namespace.kubectl("delete", "pod", name)
        until(lambda: set(release.namespace.ready(release.name, "standalone")) - {victim})
    retrieve(release, tmp_path)


def test_uninstalling_leaves_only_the_volume(release: Release) -> None:
    """The notes say so: users and keys are in it."""
    release.namespace.helm("uninstall", release.name, "--wait", "--timeout", "5m")
    until(lambda: [name.partition("/")[0] for name in left(release)] == ["persistentvolumeclaim"])
