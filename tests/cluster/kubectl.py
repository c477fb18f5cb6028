"""kubectl and helm for the tests: what they print, parsed, and conditions that are waited for."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

CHART = Path(__file__).parents[2] / "polytope-deployment" / "charts" / "polytope"
#: Which of the releases' pods; the chart gives these labels.
COMPONENT, RELEASE = "app.kubernetes.io/component", "app.kubernetes.io/instance"


class CommandError(RuntimeError):
    """A command failed; the message is what it was and what it printed."""


def run(*command: str, text: str | None = None, seconds: float = 600.0) -> str:
    """What a command prints. `text` is its standard input. Raises CommandError."""
    done = subprocess.run(
        command, input=text, capture_output=True, text=True, timeout=seconds, check=False, env=os.environ
    )
    if done.returncode:
        raise CommandError(f"{' '.join(command)}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def until(condition: Callable[[], object], seconds: float = 120.0, what: str = "the condition") -> None:
    """Wait until the condition holds; AssertionError when it does not come true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come true within {seconds} s"
        time.sleep(0.2)


class Namespace:
    """A namespace of the cluster that enforces the restricted Pod Security Standard."""

    def __init__(self, name: str) -> None:
        self.name = name

    def create(self) -> None:
        """Create it again: what an earlier run left is removed first."""
        self.delete()
        level = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn", "audit")}
        metadata = {"name": self.name, "labels": level}
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})

    def delete(self) -> None:
        """Remove it with everything in it."""
        run("kubectl", "delete", "namespace", self.name, "--ignore-not-found", "--wait")

    def kubectl(self, *arguments: str, text: str | None = None, seconds: float = 600.0) -> str:
        """kubectl in this namespace."""
        return run("kubectl", "--namespace", self.name, *arguments, text=text, seconds=seconds)

    def helm(self, *arguments: str, seconds: float = 900.0) -> str:
        """helm in this namespace."""
        return run("helm", "--namespace", self.name, *arguments, seconds=seconds)

    def apply(self, *manifests: dict[str, Any]) -> None:
        """Create or change objects."""
        for manifest in manifests:
            self.kubectl("apply", "-f", "-", text=json.dumps(manifest))

    def get(self, kinds: str, *arguments: str) -> list[dict[str, Any]]:
        """The objects of these kinds."""
        found: list[dict[str, Any]] = json.loads(self.kubectl("get", kinds, "-o", "json", *arguments))[
            "items"
        ]
        return found

    def pods(self, release: str, component: str) -> list[dict[str, Any]]:
        """The pods of one component that are not on their way out."""
        labels = f"{RELEASE}={release},{COMPONENT}={component}"
        pods = self.get("pods", "-l", labels)
        return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]

    def ready(self, release: str, component: str) -> dict[str, str]:
        """Those that are ready: their names by their uids. A set that is stateful gives a name again."""
        pods = [pod["metadata"] for pod in self.pods(release, component) if _is_ready(pod)]
        return {pod["uid"]: pod["name"] for pod in pods}

    def describe(self) -> str:
        """What helps to understand a failure: pods, events, and the ends of the logs."""
        parts = []
        for arguments in (("get", "pods", "-o", "wide"), ("get", "events", "--sort-by=.lastTimestamp")):
            with suppress(CommandError):
                parts.append(self.kubectl(*arguments)[-6000:])
        with suppress(CommandError):
            for pod in self.get("pods"):
                name = pod["metadata"]["name"]
                with suppress(CommandError):
                    parts.append(f"--- {name}\n{self.kubectl('logs', name, '--tail=25', '--all-containers')}")
        return "\n".join(parts)


def _is_ready(pod: dict[str, Any]) -> bool:
    conditions = pod["status"].get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
