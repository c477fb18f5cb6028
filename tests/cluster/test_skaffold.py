"""`skaffold run` and `skaffold dev`, with the quick start of the README."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from kubectl import CommandError, Namespace, run, until
from outside import servers

ROOT = Path(__file__).parents[2]
RELEASE = "polytope"
#: What a change of the code must change in a pod: the answer of `/api/v1/test`.
ANSWER, CHANGED = "Polytope server is alive", "Polytope server is alive and changed"
CODE = Path("polytope_server/frontend/v1/account.py")


@pytest.fixture(scope="module")
def namespace() -> Iterator[Namespace]:
    """The namespace that skaffold.yaml names."""
    namespace = Namespace(RELEASE)
    namespace.delete()
    yield namespace
    namespace.delete()


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what git tracks here, which a test may change."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in run("git", "-C", str(ROOT), "ls-files").splitlines():
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def environment(registry: str) -> dict[str, str]:
    """The environment of the README's quick start; the base image is what the cluster can have."""
    environment = {**os.environ, "SKAFFOLD_IMAGE_REGISTRY": registry}
    environment.pop("SKAFFOLD_DEFAULT_REPO", None)
    if base := os.environ.get("BASE_IMAGE"):
        environment["SKAFFOLD_BASE_IMAGE"] = base
    return environment


def test_services_elsewhere_and_a_registry_go_together(environment: dict[str, str]) -> None:
    both = environment | {"SKAFFOLD_VALUES": "values.yaml"}
    inner = {name: value for name, value in both.items() if name != "SKAFFOLD_IMAGE_REGISTRY"}
    assert images(both) == ["polytope-image-registry"]
    assert images(inner) == ["polytope-common", "polytope-worker"]


def images(environment: dict[str, str]) -> list[str]:
    """What Skaffold would build."""
    done = subprocess.run(
        ["skaffold", "diagnose", "--yaml-only"],
        cwd=ROOT,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    (config,) = (one for one in yaml.safe_load_all(done.stdout) if one)
    return [artifact["image"] for artifact in config["build"]["artifacts"]]


@pytest.mark.parametrize(
    ("variable", "content"),
    [
        ("SKAFFOLD_PIP_CONFIG", "[global]\nindex-url = http://127.0.0.1:9/\nretries = 0\n"),
        ("SKAFFOLD_CA_FILE", "no certificate\n"),
    ],
)
def test_pip_gets_the_secrets_of_a_build(
    checkout: Path, environment: dict[str, str], tmp_path: Path, variable: str, content: str
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(content)
    lock = checkout / "requirements" / "build.lock"
    before = lock.read_text()
    lock.write_text(f"{before}# {secret}\n")  # else nothing is installed again
    environment = {**environment, variable: str(secret)}
    del environment["SKAFFOLD_IMAGE_REGISTRY"]
    try:
        done = subprocess.run(
            ["skaffold", "build", "--build-image", "polytope-common", "--push=false"],
            cwd=checkout,
            env=environment,
            check=False,
            capture_output=True,
            text=True,
        )
    finally:
        lock.write_text(before)
    assert done.returncode != 0
    assert "No matching distribution found" in done.stdout + done.stderr


def test_run_installs_and_delete_removes(
    namespace: Namespace, checkout: Path, environment: dict[str, str]
) -> None:
    skaffold("run", cwd=checkout, env=environment)
    assert "Succeeded" in namespace.helm("test", RELEASE, "--timeout", "5m")
    skaffold("delete", cwd=checkout, env=environment)
    assert namespace.helm("list", "--short") == ""
    # A release of the same name that came before the old claims are gone would wait for them for ever.
    until(lambda: namespace.get("pods,persistentvolumeclaims") == [])


def test_run_installs_on_servers_outside(
    namespace: Namespace, checkout: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    with servers("mongodb", tmp_path) as outside:
        values = tmp_path / "values.yaml"
        values.write_text(yaml.safe_dump(outside.values | {"secrets": {"values": outside.logins}}))
        there = {**environment, "SKAFFOLD_VALUES": str(values)}
        skaffold("run", cwd=checkout, env=there)
        assert "Succeeded" in namespace.helm("test", RELEASE, "--timeout", "5m")
        assert namespace.get("statefulsets") == []
        skaffold("delete", cwd=checkout, env=there)
    assert namespace.helm("list", "--short") == ""
    until(lambda: namespace.get("pods,persistentvolumeclaims") == [])


def test_a_changed_file_is_in_the_pod_within_seconds(
    namespace: Namespace, checkout: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    log = tmp_path / "skaffold.log"
    with log.open("w") as output:
        folder = checkout / "polytope-deployment"
        dev = subprocess.Popen(["skaffold", "dev"], cwd=folder, env=environment, stdout=output, stderr=output)
    try:
        until(
            lambda: dev.poll() is not None or "Watching for changes" in log.read_text(), 900, "a first build"
        )
        assert ANSWER in answer(namespace)
        code = checkout / CODE
        code.write_text(code.read_text().replace(ANSWER, CHANGED))
        started = time.monotonic()
        until(lambda: CHANGED in answer(namespace), 120, "the changed answer")
        print(f"a changed file took effect after {time.monotonic() - started:.1f} s")
        dev.send_signal(signal.SIGINT)
        assert dev.wait(300) == 0
    finally:
        dev.kill()
        print(log.read_text()[-5000:])
    assert namespace.helm("list", "--short") == ""


def skaffold(*command: str, cwd: Path, env: dict[str, str]) -> None:
    """Run it to its end, which must be a good one."""
    done = subprocess.run(
        ["skaffold", *command], cwd=cwd, env=env, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def answer(namespace: Namespace) -> str:
    """What the frontend says in its pod; nothing while it starts."""
    script = (
        "import urllib.request as u; print(u.urlopen('http://127.0.0.1:5000/api/v1/test', timeout=5).read())"
    )
    try:
        return namespace.kubectl(
            "exec", "deployment/polytope-frontend", "--", "python3", "-c", script, seconds=30
        )
    except (CommandError, subprocess.TimeoutExpired):
        return ""
