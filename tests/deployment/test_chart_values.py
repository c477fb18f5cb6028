"""Values, their schema and the templates know the same keys, and each of them has an effect."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from manifests import objects_of

CHART = Path(__file__).parents[2] / "polytope-deployment" / "charts" / "polytope"
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
#: Their keys belong to others: to the server, to Kubernetes, or to the installer.
FREE = {
    *("config", "workerDefaults.config", "workers[].config", "secrets.values", "test.request", "global"),
    *("commonLabels", "serviceAccount.annotations", "frontend.service.annotations"),
    *("ingress.annotations", "httpRoute.annotations", "metrics.serviceMonitor.labels"),
}
#: Parts of every pod that are Kubernetes' own.
FREE_PARTS = ("podAnnotations", "podLabels", "nodeSelector", "affinity", "requests", "limits")


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        return dict(SCHEMA["definitions"][schema["$ref"].rpartition("/")[2]])
    return schema


def mappings(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every mapping of the schema by the path of its key; items of lists only if their keys are known."""
    schema = resolved(schema)
    if schema.get("type") == "object":
        yield path, schema
        for key, inner in schema.get("properties", {}).items():
            yield from mappings(inner, f"{path}.{key}".lstrip("."))
    elif schema.get("type") == "array" and "properties" in resolved(schema["items"]):
        yield from mappings(schema["items"], f"{path}[]")


def leaves(value: Any, path: str = "") -> Iterator[str]:
    """Paths of all values that are no mappings, and of empty mappings."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}".lstrip("."))
    else:
        yield path


def is_free(path: str) -> bool:
    return path in FREE or path.rpartition(".")[2] in FREE_PARTS


def test_the_schema_is_one() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)


def test_the_values_fit_the_schema() -> None:
    jsonschema.Draft7Validator(SCHEMA).validate(VALUES)


def test_no_unknown_key_passes() -> None:
    for path, schema in mappings(SCHEMA):
        if not is_free(path):
            assert schema["additionalProperties"] is False, path


def test_values_and_schema_have_the_same_keys() -> None:
    in_schema = {
        f"{path}.{key}".lstrip(".")
        for path, schema in mappings(SCHEMA)
        for key, inner in schema.get("properties", {}).items()
        if "properties" not in resolved(inner)
    }
    # What may be given, and has no default: claims of devices; keys of pools are those of workerDefaults.
    optional = {path for path in in_schema if path.endswith(".claims") or "[]" in path} | {"global"}
    given = {re.sub(r"\.(requests|limits)\..*", r".\1", path) for path in leaves(VALUES)}
    assert in_schema - optional == given


def test_pools_have_the_keys_of_their_defaults() -> None:
    pool = resolved(SCHEMA["properties"]["workers"]["items"])["properties"]
    assert pool.keys() - {"name"} == SCHEMA["properties"]["workerDefaults"]["properties"].keys()


def test_templates_use_no_key_that_the_values_do_not_have() -> None:
    used = set()
    for template in (CHART / "templates").rglob("*"):
        if template.is_file():
            used |= set(re.findall(r"\.Values((?:\.[A-Za-z][A-Za-z0-9]*)+)", template.read_text()))
    for path in used:
        found: Any = VALUES
        for key in path.lstrip(".").split("."):
            if isinstance(found, dict) and not found:
                break  # a mapping of keys of others
            assert key in found, path
            found = found[key]


#: Other values, by path or last key, where they cannot be made up by type.
ANOTHER: dict[str, Any] = {
    "image.pullPolicy": "Never",
    "backends.store": "postgresql",
    "backends.staging": "objectStore",
    "backends.cache": "mongodb",
    "backends.mongodb.uri": "mongodb://other.example.org",
    "backends.s3.host": "https://other.example.org",
    "backends.s3.publicUrl": "https://other.example.org",
    "backends.s3.bucket": "other",
    "test.passwordKey": "OTHER",
    "frontend.service.type": "LoadBalancer",
    "frontend.service.externalTrafficPolicy": "Local",
    "frontend.service.ipFamilyPolicy": "PreferDualStack",
    "frontend.service.ipFamilies": ["IPv6"],
    "bindTo": "::",
    "frontend.service.loadBalancerSourceRanges": ["192.0.2.0/24"],
    "objectStore.quota": "7G",
    "metrics.serviceMonitor.interval": "7s",
    "metrics.serviceMonitor.scrapeTimeout": "7s",
    "imagePullSecrets": [{"name": "other"}],
    "workers": [{"name": "other"}],
    "ingress.tls": [{"secretName": "other"}],
    "existingSecretConfig.files": ["other.yaml"],
    "networkPolicy.dns.ports": [5353],
    "workerDefaults.queues": ["other", "default"],
    "workerDefaults.collections": ["echo"],
    "topologySpreadConstraints": [],
    "nodePort": 30001,
    "extraEnv": [{"name": "OTHER", "value": "1"}],
    "egress": [{"ports": [{"port": 7}]}],
    "ports": [7],
    "size": "7Gi",
    "sizeLimit": "7Gi",
    "repository": "other",
    "tag": "other",
    "cpu": "7",
    "memory": "7Gi",
}
_LISTS_OF_TEXTS = ("existing", "generated", "hosts", "hostnames")


def another(path: str) -> Any:
    """A value that differs from the default, and that the schema takes."""
    for known in (path, path.rpartition(".")[2]):
        if known in ANOTHER:
            return ANOTHER[known]
    value: Any = VALUES
    for key in path.split("."):
        value = value[key]
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, list):
        return ["other"] if path.endswith(_LISTS_OF_TEXTS) else [{"name": "other"}]
    return {"other": "other"} if isinstance(value, dict) else "other"


def base(path: str) -> tuple[str, dict[str, Any]]:
    """Values in which the key matters: its first words identify it."""
    section = ".".join(path.split(".")[:2])
    on: dict[str, Any] = {}
    parent = path.rpartition(".")[0]
    if parent.endswith(("autoscaling", "podDisruptionBudget", "serviceMonitor", "ingress", "httpRoute")):
        on = {f"{parent}.enabled": True} if not path.endswith(".enabled") else {}
    if path.startswith("ingress"):
        on["ingress.hosts"] = ["polytope.example.org"]
    if path.startswith("httpRoute"):
        on["httpRoute.parentRefs"] = [{"name": "gateway"}]
    if path.startswith("existingSecretConfig.files"):
        on["existingSecretConfig.name"] = "vault"
    if path.startswith("serviceAccount") and path.endswith("create"):
        on["serviceAccount.name"] = "own"
    if path.startswith("standalone") and path != "standalone.enabled":
        return "standalone", on
    if path.startswith("objectStore"):
        return "postgresql-rabbitmq-objectstore-memcached", on
    if path.startswith("test"):
        return "trial", {**on, "secrets.values": {"OTHER": "other"}}
    if path.startswith("trial") and path.count(".") > 2:
        return "trial", on
    if path in ("workerDefaults.collections", "networkPolicy.rabbitmqFrom"):
        return "trial", {"workers": [{"name": "pool"}]}
    if section == "backends.memcached" or path.startswith("networkPolicy.backends.memcached"):
        return "minimal", {"backends.cache": "memcached", "backends.memcached.host": "cache"}
    if path.startswith("networkPolicy.backends.postgresql"):
        return "minimal", {"backends.store": "postgresql"}
    return "minimal", on


#: What only an installer and `helm lint` see.
_SILENT = {"fullnameOverride"}
_PATHS = [path for path in leaves(VALUES) if path not in _SILENT]


@pytest.fixture(scope="module")
def default(helm: Any) -> Callable[[str, str], list[Any]]:
    """The chart with a set of values and others on top, as JSON; the same twice is rendered once."""

    @cache
    def render(values: str, on: str) -> list[Any]:
        return without_random(helm.template(values, json.loads(on)))

    return render


@pytest.mark.parametrize("path", _PATHS)
def test_each_key_has_an_effect(helm: Any, default: Callable[[str, str], list[Any]], path: str) -> None:
    values, on = base(path)
    changed = helm.template(values, {**on, path: another(path)})
    assert without_random(changed) != default(values, json.dumps(on))


def without_random(text: str) -> list[Any]:
    """Objects, with the names of secrets only."""
    objects = objects_of(text)
    for found in objects:
        if found["kind"] == "Secret":
            found["data"] = sorted(found["data"])
    return objects
