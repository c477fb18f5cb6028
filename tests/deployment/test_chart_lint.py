"""The chart renders, with Helm 3 and with Helm 4, and Kubernetes knows what it renders."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from kubernetes_validate import utils as schemas
from manifests import objects_of
from referencing import Registry, Resource

CHART = Path(__file__).parents[2] / "polytope-deployment" / "charts" / "polytope"
#: From the oldest that the chart says it is for.
VERSIONS = sorted({version for version in schemas.all_versions() if int(version.split(".")[1]) >= 28})
#: Objects of others, whose schemas come with them: tests of their templates look at each.
OTHERS = {"HTTPRoute", "ScaledObject", "ServiceMonitor"}


@cache
def definitions(version: str) -> Registry[Any]:
    contents = schemas.schema_contents(
        f"kubernetes-json-schema/v{version}-local-strict/_definitions.json", version
    )
    return Resource.from_contents(contents) @ Registry()


@cache
def validator(version: str, kind: str, api: str) -> Any:
    """Of objects of a kind, strict: a key that Kubernetes does not know is an error."""
    group, _, name = api.rpartition("/")
    file = f"{kind.lower()}-{group.split('.')[0]}-{name}" if group else f"{kind.lower()}-{name}"
    schema = schemas.schema_contents(f"kubernetes-json-schema/v{version}-local-strict/{file}.json", version)
    registry = Resource.from_contents(schema) @ definitions(version)
    return jsonschema.Draft202012Validator(schema, registry=registry)


def test_it_passes_strict_lint(any_helm: Any, values_file: Path) -> None:
    answer = any_helm("lint", "--strict", CHART, "-f", values_file)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "[WARNING]" not in answer.stdout
    assert "[ERROR]" not in answer.stdout


def test_it_passes_strict_lint_without_values(any_helm: Any) -> None:
    answer = any_helm("lint", "--strict", CHART)
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_helm_3_and_4_render_the_same(helms: Any, values: str) -> None:
    def stable(version: str) -> list[Any]:
        found = objects_of(helms(version).template(values))
        for each in found:
            if each["kind"] == "Secret":
                each["data"] = sorted(each["data"])  # values may be random
        return sorted(found, key=lambda each: (each["kind"], each["metadata"]["name"]))

    assert stable("helm3") == stable("helm4")


def test_the_oldest_kubernetes_is_the_one_that_the_chart_names() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["kubeVersion"] == ">=1.28.0-0"
    assert VERSIONS[0] == "1.28.0"


def test_it_refuses_an_older_kubernetes(any_helm: Any) -> None:
    answer = any_helm.try_template("minimal", None, "--kube-version", "1.27.0")
    assert "incompatible with Kubernetes" in answer.stderr


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_knows_every_object(rendered: Any, version: str) -> None:
    wrong = [
        f"{found['kind']} {found['metadata']['name']}: {'.'.join(map(str, error.path))}: {error.message}"
        for found in rendered.objects
        if found["kind"] not in OTHERS
        for error in validator(version, found["kind"], found["apiVersion"]).iter_errors(found)
    ]
    assert not wrong


def test_every_object_is_named_once_and_labelled(rendered: Any) -> None:
    names = [(found["kind"], found["metadata"]["name"]) for found in rendered.objects]
    assert len(names) == len(set(names))
    for found in rendered.objects:
        assert found["metadata"]["namespace"] == "weather"
        assert found["metadata"]["labels"]["app.kubernetes.io/instance"] == "test"
        assert len(found["metadata"]["name"]) <= 63


def test_a_long_name_of_the_release_is_cut(helm: Any) -> None:
    text = helm.template("trial", {"fullnameOverride": "a" * 53})
    for found in objects_of(text):
        assert len(found["metadata"]["name"]) <= 63
