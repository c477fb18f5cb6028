"""The chart, rendered by real helms."""

from __future__ import annotations

import base64
import json
import subprocess
from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from manifests import objects_of

from polytope_server.config import Configuration, load
from testbed.services import programs

CHART = Path(__file__).parents[2] / "polytope-deployment" / "charts" / "polytope"
#: Sets of values, each for a way to deploy.
VALUES = {file.stem: file for file in sorted(Path(__file__).with_name("values").glob("*.yaml"))}
VALUES["development"] = CHART / "development-values.yaml"
HELMS = ("helm3", "helm4")
SYSTEM_FILE = "/etc/polytope/config.yaml"
#: What an installer gives in a Secret of their own.
EXISTING = {
    "MONGODB_USERNAME": "name",
    "MONGODB_PASSWORD": "word",
    "RABBITMQ_USERNAME": "name",
    "RABBITMQ_PASSWORD": "word",
    "S3_ACCESS_KEY": "access",
    "S3_SECRET_KEY": "secret",
    "REDIS_PASSWORD": "word",
    "POLYTOPE_KEY": "0123456789abcdef0123456789abcdef",
    "POSTGRESQL_URL": "postgresql://name:word@postgresql.example.org:5432/polytope",
    "OBJECT_STORE_TOKEN": "0123456789abcdef",
}

Object = dict[str, Any]


class Helm:
    """One version of helm."""

    def __init__(self, program: str, home: Path) -> None:
        self._program = program
        self._environment = {"HOME": str(home), "PATH": "/usr/bin:/bin"}

    def __call__(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run it, whatever comes of it."""
        command = [self._program, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, env=self._environment, timeout=120)

    def template(self, values: str, overrides: Mapping[str, Any] | None = None, *options: str) -> str:
        """The chart rendered with a set of values, and with others on top of it. Fails if it cannot be."""
        answer = self.try_template(values, overrides, *options)
        assert answer.returncode == 0, answer.stderr
        return answer.stdout

    def try_template(
        self, values: str, overrides: Mapping[str, Any] | None = None, *options: str
    ) -> subprocess.CompletedProcess[str]:
        on_top = [f"--set-json={key}={json.dumps(value)}" for key, value in (overrides or {}).items()]
        where = ["--namespace", "weather", "-f", VALUES[values], *on_top]
        return self("template", "test", CHART, *where, *options)


@cache
def helm_of(version: str, home: Path) -> Helm:
    return Helm(programs.program(version), home)


@pytest.fixture(scope="session")
def helms(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Helm]:
    """Helm by version; skips the test if it cannot be had."""
    home = tmp_path_factory.mktemp("helm")

    def get(version: str) -> Helm:
        try:
            return helm_of(version, home)
        except programs.NotInstalledError as error:
            pytest.skip(str(error))

    return get


@pytest.fixture(scope="session")
def helm(helms: Callable[[str], Helm]) -> Helm:
    """A helm, for tests to which the version is nothing."""
    return helms("helm3")


class Rendered:
    """The objects of a rendered chart."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.objects = objects_of(text)

    def of_kind(self, *kinds: str) -> list[Object]:
        return [found for found in self.objects if found["kind"] in kinds]

    def one(self, kind: str, suffix: str = "") -> Object:
        """The object of this kind whose name is that of the release and the chart, and the suffix."""
        name = f"test-polytope{suffix}"
        (found,) = [found for found in self.of_kind(kind) if found["metadata"]["name"] == name]
        return found

    def has(self, kind: str, suffix: str = "") -> bool:
        return any(found["metadata"]["name"] == f"test-polytope{suffix}" for found in self.of_kind(kind))

    def workloads(self) -> list[Object]:
        return self.of_kind("Deployment", "StatefulSet")

    def pods(self) -> dict[str, Object]:
        """Templates of pods (`metadata`, `spec`) by the name of what makes them, and the pod of the test."""
        makers = [*self.workloads(), *self.of_kind("Job")]
        made = {found["metadata"]["name"]: found["spec"]["template"] for found in makers}
        return made | {found["metadata"]["name"]: found for found in self.of_kind("Pod")}

    def config(self, suffix: str = "-config", file: str = "chart.yaml") -> str:
        """A file of the configuration: by default what the chart says last."""
        text: str = self.one("ConfigMap", suffix)["data"][file]
        return text

    def variables(self) -> dict[str, str]:
        """What the pods have from Secrets."""
        found = dict(EXISTING)
        for secret in self.of_kind("Secret"):
            found |= {name: base64.b64decode(value).decode() for name, value in secret["data"].items()}
        return found


@pytest.fixture(scope="session")
def render(helm: Helm) -> Callable[..., Rendered]:
    """Renders the chart: `render("trial", {"frontend.replicas": 3})`. The same twice is rendered once."""
    known: dict[str, Rendered] = {}

    def run(values: str, overrides: Mapping[str, Any] | None = None) -> Rendered:
        key = json.dumps([values, dict(overrides or {})])
        if key not in known:
            known[key] = Rendered(helm.template(values, overrides))
        return known[key]

    return run


@pytest.fixture(params=sorted(VALUES))
def values(request: pytest.FixtureRequest) -> str:
    """Each set of values."""
    name: str = request.param
    return name


@pytest.fixture
def rendered(render: Callable[..., Rendered], values: str) -> Rendered:
    """The chart rendered with each set of values."""
    return render(values)


@pytest.fixture(params=HELMS)
def any_helm(request: pytest.FixtureRequest, helms: Callable[[str], Helm]) -> Helm:
    """Each version of helm."""
    return helms(request.param)


@pytest.fixture
def values_file(values: str) -> Path:
    """The file of each set of values."""
    return VALUES[values]


@pytest.fixture
def loaded(tmp_path: Path) -> Callable[..., Configuration]:
    """The configuration that a pod of a rendered chart reads, by the end of its name; else the frontend.

    `secret` are the files in the Secret of `existingSecretConfig`; `container` says which one of several.
    """

    def read(
        rendered: Any, pod: str = "", secret: Mapping[str, str] | None = None, container: str = ""
    ) -> Configuration:
        name = next(name for name in rendered.pods() if name.endswith((pod or "-frontend", "-standalone")))
        spec = rendered.pods()[name]["spec"]
        (chosen,) = [each for each in spec["containers"] if container in ("", each["name"])]
        contents = mounted(rendered, spec, chosen, defaultdict(lambda: "{}", secret or {}))
        env = {variable["name"]: variable.get("value", "") for variable in chosen["env"]}
        files = []
        for path in [SYSTEM_FILE, *env["POLYTOPE_CONFIG_FILES"].split(":")]:
            files.append(tmp_path / f"{len(files)}.yaml")
            files[-1].write_text(contents(path))
        return load(files, environ=rendered.variables(), system_file=tmp_path / "none")

    return read


def mounted(
    rendered: Rendered, spec: Object, container: Object, secret: Mapping[str, str]
) -> Callable[[str], str]:
    """Reads files of a container by their path: those of ConfigMaps of the chart, and of the Secret."""
    maps = {found["metadata"]["name"]: found["data"] for found in rendered.of_kind("ConfigMap")}
    volumes: dict[str, Mapping[str, str]] = {
        volume["name"]: maps.get(volume.get("configMap", {}).get("name"), {}) for volume in spec["volumes"]
    } | {"secrets": secret}

    def read(path: str) -> str:
        (mount,) = [mount for mount in container["volumeMounts"] if path.startswith(mount["mountPath"])]
        return volumes[mount["name"]][mount.get("subPath", Path(path).name)]

    return read
