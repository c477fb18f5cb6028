"""Values that are wrong are refused, and the message says which and why."""

from __future__ import annotations

from typing import Any

import pytest

#: Values on top of a set of values, and words of the message, whichever helm says it.
WRONG: dict[str, tuple[str, dict[str, Any], tuple[str, ...]]] = {
    "an unknown key": ("minimal", {"fronted": {}}, ("fronted", "not allowed")),
    "an unknown key inside": ("minimal", {"frontend.replica": 2}, ("frontend", "replica", "not allowed")),
    "an unknown key of a pool": ("minimal", {"workers": [{"name": "a", "x": 1}]}, ("workers", "'x'|x ")),
    "a text for a number": ("minimal", {"frontend.replicas": "two"}, ("replicas", "integer")),
    "a port that is none": ("minimal", {"management.port": 70000}, ("management", "port", "65535|65,535")),
    "an unknown back-end": ("minimal", {"backends.store": "oracle"}, ("store", "postgresql")),
    "a pool without a name": ("minimal", {"workers": [{"replicas": 1}]}, ("workers", "required|missing")),
    "a pool whose name is none": ("minimal", {"workers": [{"name": "A b"}]}, ("workers", "name", "pattern")),
    "a variable whose name is none": ("minimal", {"secrets.values": {"a-b": "c"}}, ("a-b",)),
    # A template would write 1.234567e+06.
    "a number as a secret": ("minimal", {"secrets.values": {"A": 1234567}}, ("A", "string")),
    "a number as a quota": ("minimal", {"objectStore.quota": 1234567}, ("quota", "string")),
    "a password in an address": (
        "minimal", {"backends.mongodb.uri": "mongodb://name:word@db"}, ("uri", "pattern"),
    ),
    "no address of a back-end": (
        "minimal", {"backends.rabbitmq.host": ""}, ("backends.rabbitmq.host", "trial.rabbitmq.enabled"),
    ),
    "no password of a back-end": (
        "minimal", {"secrets.existing": []}, ("secrets", "RABBITMQ_USERNAME", "secrets.existing"),
    ),
    "a cache for one frontend of two": ("minimal", {"backends.cache": "memory"}, ("cache", "replicas")),
    "a test as nobody": ("minimal", {"test.collection": "a"}, ("test.username",)),
    "a test without a password": (
        "minimal", {"test.collection": "a", "test.username": "b"}, ("test.passwordKey", "TEST_PASSWORD"),
    ),
    "a frontend that is killed before its calls end": (
        "minimal",
        {"frontend.preStopSeconds": 10, "frontend.terminationGracePeriodSeconds": 34},
        ("frontend.terminationGracePeriodSeconds", "34", "35"),
    ),
    "a network that is none": (
        "minimal",
        {"frontend.service.loadBalancerSourceRanges": ["192.0.2.1"]},
        ("loadBalancerSourceRanges", "pattern"),
    ),
    "a label by which pods are found": (
        "minimal", {"commonLabels": {"app.kubernetes.io/component": "a"}}, ("app.kubernetes.io/component",),
    ),
    "an ingress without a host": ("minimal", {"ingress.enabled": True}, ("ingress.hosts",)),
    "a route without a gateway": ("minimal", {"httpRoute.enabled": True}, ("httpRoute.parentRefs",)),
    "two pools of a name": (
        "minimal", {"workers": [{"name": "a"}, {"name": "a"}]}, ("workers", "two pools", '"a"'),
    ),
    "a pool for a collection that is not there": (
        "minimal", {"workers": [{"name": "a", "collections": ["b"]}]}, ("no collection", '"b"'),
    ),
    "two pools for a collection": (
        "trial",
        {"workers": [{"name": "a", "collections": ["echo"]}, {"name": "b", "collections": ["echo"]}]},
        ("collection", '"echo"', "a and b"),
    ),
    "a queue that no pool serves": (
        "trial", {"workers": [{"name": "a", "queues": ["slow"]}]}, ("no pool serves", '"default"', '"echo"'),
    ),
    "the default pool for a collection": (
        "trial", {"workers": [{"name": "default", "collections": ["echo"]}]}, ("default",),
    ),
    "queues of workers in the configuration": (
        "trial", {"config.worker": {"queues": ["a"]}}, ("config.worker.queues", "workers[].queues"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_it_is_refused_and_named(any_helm: Any, case: str) -> None:
    values, overrides, words = WRONG[case]
    answer = any_helm.try_template(values, overrides)
    assert answer.returncode != 0
    for word in words:
        assert any(alternative in answer.stderr for alternative in word.split("|")), answer.stderr


@pytest.mark.parametrize(
    "config",
    [
        {"collections": ["a"]},
        {"collections": {"a": None}},
        {"collections": {"a": {"datasources": [{"type": "echo"}]}}},
        {"datasources": "a", "collections": {"a": {"datasources": ["b"]}}},
        {"datasources": {"b": {"parents": "c"}}, "collections": {"a": {"datasources": ["b"]}}},
    ],
)
def test_a_wrong_configuration_is_left_to_the_server(any_helm: Any, config: dict[str, Any]) -> None:
    """It says more about it than a template could, see `config check`."""
    assert any_helm.try_template("minimal", {"config": config}).returncode == 0
