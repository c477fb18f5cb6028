"""A release of the chart in a namespace of its own, and a slow data source beside it."""

from __future__ import annotations

import os
import secrets
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import yaml
from kubectl import CHART, Namespace, run, until
from load import Load

from polytope_server.config import load
from testbed.server import Deployment

HERE = Path(__file__).parent
USERS = ("alice", "bob")


class Release:
    """A release of the chart, in a namespace of its own."""

    def __init__(self, name: str, values: Path, registry: str, tag: str, folder: Path) -> None:
        self.name = name
        self.namespace = Namespace(f"{name}-test")
        self.passwords = {user: secrets.token_urlsafe(16) for user in USERS}
        self._images = {"registry": registry, "tag": tag}
        self._files = [HERE / "values" / "config.yaml", values, folder / "run.yaml"]
        self._folder = folder
        trial = {name: {"image": {"tag": tag}} for name in ("mongodb", "rabbitmq", "redis", "s3")}
        images = {"registry": registry, "common": {"tag": tag}, "worker": {"tag": tag}}
        variables = {f"{user.upper()}_PASSWORD": word for user, word in self.passwords.items()}
        self._files[-1].write_text(
            yaml.safe_dump({"image": images, "trial": trial, "secrets": {"values": variables}})
        )
        self.url = ""

    @property
    def values(self) -> list[str]:
        """The arguments of helm that name the values."""
        return [part for file in self._files for part in ("--values", str(file))]

    def install(self) -> float:
        """Install; returns the seconds until everything was ready."""
        started = time.monotonic()
        self.namespace.helm("install", self.name, str(CHART), *self.values, "--wait", "--timeout", "10m")
        return time.monotonic() - started

    def upgrade(self, *settings: str) -> None:
        """Upgrade, with changed values."""
        changed = [part for setting in settings for part in ("--set", setting)]
        self.namespace.helm(
            "upgrade", self.name, str(CHART), *self.values, *changed, "--wait", "--timeout", "10m"
        )

    def reach(self, node_port: int) -> None:
        """Find the address of the Service from outside."""
        self.url = f"http://{_outside(node_port)}"
        until(self.alive, what=f"an answer at {self.url}")

    def alive(self) -> bool:
        """Whether the API answers from outside."""
        try:
            return requests.get(f"{self.url}/api/v1/test", timeout=5).status_code == 200
        except requests.RequestException:
            return False

    @property
    def user(self) -> tuple[str, str]:
        """Name and password of the first user."""
        return USERS[0], self.passwords[USERS[0]]

    def load(self, collection: str = "slow") -> Load:
        """At least 200 requests, in the background of a `with`."""
        return Load(f"{self.url}/api/v1", self.user, collection)

    def configuration(self) -> Path:
        """The deployment's configuration, as `pytest tests/integration --config` takes it."""
        config = yaml.safe_load(self._files[0].read_text())["config"]
        for realm in (config["authentication"]["test"],):
            for user in realm["authenticators"]["plain"]["users"]:
                user["password"] = self.passwords[user["uid"]]
        users = [{"uid": uid, "password": password} for uid, password in self.passwords.items()]
        config["testrunner"] = {"url": self.url, "users": users}
        file = self._folder / "deployment.yaml"
        file.write_text(yaml.safe_dump(config))
        return file

    def deployment(self) -> Deployment:
        """The deployment, as the tests for any deployment see it."""
        return Deployment(load([self.configuration()]))


def fixture(name: str, values: str, node_port: int) -> object:
    """A fixture: a namespace with the slow data source in it, and a release that is not installed yet."""

    @pytest.fixture(scope="module")
    def made(registry: str, tag: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Release]:
        made = Release(name, HERE / "values" / values, registry, tag, tmp_path_factory.mktemp(name))
        made.namespace.create()
        _slow_source(made.namespace, f"{registry}/polytope-common:{tag}")
        yield made
        made.namespace.delete()

    return made


def _outside(node_port: int) -> str:
    """Where a port of the node is reached from this machine."""
    if script := os.environ.get("POLYTOPE_TEST_FORWARD"):
        # The second time it is open already.
        subprocess.run([script, str(node_port - 12000), str(node_port)], capture_output=True, check=False)
        return f"127.0.0.1:{node_port - 12000}"
    path = "{.items[0].status.addresses[?(@.type=='InternalIP')].address}"
    return f"{run('kubectl', 'get', 'nodes', '-o', f'jsonpath={path}')}:{node_port}"


def _slow_source(namespace: Namespace, image: str) -> None:
    script = (HERE / "slow_source.py").read_text()
    labels = {"app": "slow-source"}
    container = {
        "name": "source",
        "image": image,
        "command": ["python3", "/script/slow_source.py"],
        "volumeMounts": [{"name": "script", "mountPath": "/script"}],
        "readinessProbe": {"tcpSocket": {"port": 8000}, "periodSeconds": 1},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "resources": {"limits": {"memory": "128Mi"}, "requests": {"cpu": "10m", "memory": "32Mi"}},
    }
    user = {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}}
    pod = {
        "automountServiceAccountToken": False,
        "securityContext": user,
        "containers": [container],
        "volumes": [{"name": "script", "configMap": {"name": "slow-source"}}],
    }  # fmt: skip
    name = {"name": "slow-source", "labels": labels}
    namespace.apply(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": name, "data": {"slow_source.py": script}},
        {"apiVersion": "v1", "kind": "Service", "metadata": name,
         "spec": {"selector": labels, "ports": [{"port": 8000}]}},
        {"apiVersion": "v1", "kind": "Pod", "metadata": name, "spec": pod},
    )  # fmt: skip
    namespace.kubectl("wait", "--for=condition=Ready", "pod/slow-source", "--timeout=120s")
