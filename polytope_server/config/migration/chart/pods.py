"""What the earlier chart's `deployment` says of pods, ingress and images, as values of this chart."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from polytope_server.config.migration.chart.values import Values
from polytope_server.redaction import is_secret
from polytope_server.settings.nodes import Node

#: Of the Secret that lets nodes pull images.
PULLER = "polytope-registry"
_LOGIN = re.compile(r"://[^/@\s]*:[^/@\s]+@")
_PROCESSES = {"frontend": "frontend", "broker": "broker", "garbage-collector": "garbageCollector"}
#: Values without a counterpart, by the key below `deployment`: what to do if one says something.
_GONE = {
    ("mars_c", "enabled"): "Add the MARS client to the worker's image: docs/operators/mars.md.",
    ("worker", "schedule", "enabled"): (
        "Mount the schedule into the frontends (`frontend.extraVolumes`, `frontend.extraVolumeMounts`), and "
        "name the file in `config.schedule.file`."
    ),
    (
        "ingress",
        "telemetry",
        "enabled",
    ): "There is no telemetry service; Prometheus reads the pods (`metrics`).",
    ("ingress", "downloads", "enabled"): (
        "Results come from the frontend, at the same address as all calls. For links to S3 make an Ingress "
        "of your own to that server, and give its address in `backends.s3.publicUrl`."
    ),
}


def deployment_of(root: Node) -> dict[str, Any]:
    """The section `deployment` without what is empty."""
    section = (root.child("deployment") or Node({})).plain()
    return section if isinstance(section, dict) else {}


def given_variables(deployment: Mapping[str, Any]) -> dict[str, str]:
    """Variables whose values stand in the old file."""
    found = {"POLYTOPE_PROXY": deployment.get("polytope_proxy") or None}
    found |= _at(deployment, "default", "extraEnvironmentVars")
    return {str(key): str(value) for key, value in found.items() if not isinstance(value, dict | None)}


def secrets_of_others(deployment: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Name and key of the Secret of each variable that comes from one."""
    found = _at(deployment, "default", "extraEnvironmentVars")
    references = {str(name): _at(found, str(name), "secretKeyRef") for name in found}
    return {name: (str(each.get("name")), str(each.get("key"))) for name, each in references.items() if each}


def secret_variables(given: Mapping[str, str]) -> dict[str, str]:
    """Those of the given variables that are secrets by their names, or hold a log-in."""
    return {name: value for name, value in given.items() if is_secret(name) or _LOGIN.search(value)}


def map_deployment(deployment: Mapping[str, Any], in_secret: Collection[str], values: Values) -> None:
    """Set the values. Variables that are `in_secret` are not repeated."""
    _map_images(deployment, values)
    _map_processes(deployment, values)
    _map_workers(_at(deployment, "worker"), deployment, values)
    _map_ingress(_at(deployment, "ingress"), values)
    _report_what_is_gone(deployment, values)
    _map_variables(deployment, in_secret, values)


def _map_images(deployment: Mapping[str, Any], values: Values) -> None:
    values.set("image.pullPolicy", deployment.get("imagePullPolicy"))
    where = deployment.get("registry")
    held = f" The earlier ones are in {where}." if where else ""
    values.remark(
        "image", f"Build the images of this server (`make image`), and say where they are (`registry`).{held}"
    )
    if _at(deployment, "imageCredentials").get("username"):
        values.set("imagePullSecrets", [{"name": PULLER}])


def _map_processes(deployment: Mapping[str, Any], values: Values) -> None:
    for earlier, now in _PROCESSES.items():
        section = _at(deployment, earlier)
        values.set(f"{now}.replicas", section.get("replicas"))
        _map_annotations(section, f"deployment.{earlier}", now, values)
    if port := deployment.get("nodeport"):
        values.set("frontend.service", {"type": "NodePort", "nodePort": port})


def _map_annotations(section: Mapping[str, Any], where: str, now: str, values: Values) -> None:
    values.set(f"{now}.podAnnotations", _texts(_at(section, "template_annotations")))
    if _at(section, "annotations"):
        text = f"`{where}.annotations` are left out: only pods have annotations (`podAnnotations`)."
        values.remark(now, text, decide=False)


def _map_workers(worker: Mapping[str, Any], deployment: Mapping[str, Any], values: Values) -> None:
    pool: dict[str, Any] = {"name": "default", "concurrency": 1}
    resources = _at(worker, "resources")
    amounts = {key: _texts(_at(resources, key)) for key in ("requests", "limits") if _at(resources, key)}
    node = deployment.get("worker_node")
    given = {
        "replicas": worker.get("replicas"),
        "resources": amounts,
        "podAnnotations": _texts(_at(worker, "template_annotations")),
        "nodeSelector": {"kubernetes.io/hostname": str(node)} if node else None,
    }
    values.set("workers", [pool | {key: value for key, value in given.items() if value not in (None, {})}])
    text = "As before, a pod runs one request at a time. Fewer pods with more `concurrency` need less memory."
    values.remark("workers", text, decide=False)


def _map_ingress(ingress: Mapping[str, Any], values: Values) -> None:
    frontend = _at(ingress, "frontend")
    if not (frontend.get("enabled") or ingress.get("enabled")):
        return
    host = ".".join(str(ingress[key]) for key in ("deployment_name", "common_domain") if ingress.get(key))
    secret = frontend.get("tls_secret") or ingress.get("frontend_tls_secret")
    values.set("ingress.enabled", True)
    values.set("ingress.hosts", [host] if host else None)
    values.set("ingress.annotations", _texts(_at(frontend, "annotations")))
    values.set("ingress.tls", [{"secretName": str(secret), "hosts": [host]}] if secret and host else None)
    if not host:
        values.remark("ingress", "Name a host at least (`hosts`).")
    values.remark(
        "networkPolicy",
        "Name the ingress controller in `frontendFrom`: pods that can go past it can choose their address.",
    )


def _map_variables(deployment: Mapping[str, Any], in_secret: Collection[str], values: Values) -> None:
    given = given_variables(deployment)
    texts = [{"name": name, "value": text} for name, text in given.items() if name not in in_secret]
    found = _at(deployment, "default", "extraEnvironmentVars")
    references = [
        {"name": name, "valueFrom": value} for name, value in found.items() if isinstance(value, dict)
    ]
    values.set("extraEnv", [*texts, *references])


def _report_what_is_gone(deployment: Mapping[str, Any], values: Values) -> None:
    for path, text in _GONE.items():
        if _at(deployment, *path[:-1]).get(path[-1]):
            values.remark(f"deployment.{'.'.join(path[:-1])}", text)


def _at(section: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
    """The mapping there, an empty one if there is none."""
    found: Any = section
    for key in path:
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def _texts(mapping: Mapping[str, Any]) -> dict[str, str]:
    return {str(key): str(value) for key, value in mapping.items() if value is not None}
