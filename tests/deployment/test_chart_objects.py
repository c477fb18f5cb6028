"""Objects around the pods: ways in, scaling, metrics, and who may speak to whom."""

from __future__ import annotations

from typing import Any

import pytest

PROCESSES = ("frontend", "broker", "garbage-collector", "worker-default")


def test_the_ingress_leads_every_host_to_the_frontend(render: Any) -> None:
    (ingress,) = render("everything").of_kind("Ingress")
    assert ingress["metadata"]["annotations"] == {"example.org/timeout": "60"}
    assert ingress["spec"]["ingressClassName"] == "traefik"
    assert ingress["spec"]["tls"] == [{"secretName": "polytope-tls", "hosts": ["polytope.example.org"]}]
    assert [rule["host"] for rule in ingress["spec"]["rules"]] == ["polytope.example.org", "data.example.org"]
    for rule in ingress["spec"]["rules"]:
        (path,) = rule["http"]["paths"]
        assert path["path"] == "/"
        assert path["backend"]["service"] == {"name": "test-weather", "port": {"name": "http"}}


def test_the_route_leads_to_the_frontend(render: Any) -> None:
    (route,) = render("everything").of_kind("HTTPRoute")
    assert route["apiVersion"] == "gateway.networking.k8s.io/v1"
    assert route["spec"] == {
        "parentRefs": [{"name": "gateway", "namespace": "gateways"}],
        "hostnames": ["polytope.example.org"],
        "rules": [
            {
                "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
                "backendRefs": [{"name": "test-weather", "port": 8080}],
            }
        ],
    }


def test_the_frontend_scales_by_its_cpu(render: Any) -> None:
    rendered = render("everything")
    (scaler,) = rendered.of_kind("HorizontalPodAutoscaler")
    spec = scaler["spec"]
    assert spec["scaleTargetRef"] == {
        "apiVersion": "apps/v1", "kind": "Deployment", "name": "test-weather-frontend",
    }  # fmt: skip
    assert (spec["minReplicas"], spec["maxReplicas"]) == (3, 7)
    (deployment,) = [
        each for each in rendered.workloads() if each["metadata"]["name"] == "test-weather-frontend"
    ]
    # A number there would be set again by every upgrade.
    assert "replicas" not in deployment["spec"]


def test_a_pool_scales_by_the_length_of_its_queues(render: Any) -> None:
    rendered = render("everything")
    scalers = {each["metadata"]["name"]: each["spec"] for each in rendered.of_kind("ScaledObject")}
    assert scalers.keys() == {"test-weather-worker-archive", "test-weather-worker-features"}
    archive = scalers["test-weather-worker-archive"]
    assert archive["scaleTargetRef"] == {"name": "test-weather-worker-archive"}
    assert (archive["minReplicaCount"], archive["maxReplicaCount"]) == (0, 50)
    queues = [trigger["metadata"]["queueName"] for trigger in archive["triggers"]]
    assert queues == ["polytope.tape", "polytope.slow"]
    for trigger in archive["triggers"]:
        assert trigger["type"] == "rabbitmq"
        assert trigger["metadata"]["host"] == "amqps://rabbitmq.example.org:5672/"
        assert trigger["metadata"]["mode"] == "QueueLength"
        assert trigger["metadata"]["passwordFromEnv"] == "RABBITMQ_PASSWORD"
        assert all(isinstance(value, str) for value in trigger["metadata"].values())
    for workload in rendered.workloads():
        if workload["metadata"]["name"] in scalers:
            assert "replicas" not in workload["spec"]


def test_the_queue_holds_what_makes_the_most_pods(render: Any) -> None:
    # 50 pods of 4 requests each; 40 is the server's default.
    text = [each for each in render("everything").of_kind("ConfigMap") if "config.yaml" in each["data"]]
    assert any("deployment: {worker: {replicas: 200}}" in each["data"]["config.yaml"] for each in text)
    assert "deployment:" not in render("minimal").config()


def test_a_pool_without_queues_of_its_own_scales_by_all_of_them(render: Any) -> None:
    (scaler,) = render("trial", {"workerDefaults.autoscaling.enabled": True}).of_kind("ScaledObject")
    (trigger,) = scaler["spec"]["triggers"]
    assert trigger["metadata"]["queueName"] == "polytope"
    assert trigger["metadata"]["host"] == "amqp://test-polytope-rabbitmq:5672/"
    outside = {"workerDefaults.autoscaling.enabled": True, "backends.rabbitmq.host": "2001:db8::5"}
    (scaler,) = render("minimal", outside).of_kind("ScaledObject")
    assert scaler["spec"]["triggers"][0]["metadata"]["host"] == "amqp://[2001:db8::5]:5672/"


def test_prometheus_reads_every_process(render: Any) -> None:
    rendered = render("everything")
    (monitor,) = rendered.of_kind("ServiceMonitor")
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint == {
        "port": "management", "path": "/metrics", "interval": "15s", "scrapeTimeout": "5s",
    }  # fmt: skip
    wanted = monitor["spec"]["selector"]["matchLabels"]
    (service,) = [
        each for each in rendered.of_kind("Service") if wanted.items() <= each["metadata"]["labels"].items()
    ]
    selector = service["spec"]["selector"]
    read = {
        name for name, pod in rendered.pods().items() if selector.items() <= pod["metadata"]["labels"].items()
    }
    assert read == {each["metadata"]["name"] for each in rendered.workloads()}


class Network:
    """What the policies of a rendered chart let through, as far as pods of the release go."""

    def __init__(self, rendered: Any) -> None:
        self._pods = {name.removeprefix("test-polytope-"): pod for name, pod in rendered.pods().items()}
        self._policies = [each["spec"] for each in rendered.of_kind("NetworkPolicy")]

    def allows(self, source: str, target: str, port: str) -> bool:
        """Whether the one may call the other, if it has a port of that name."""
        ports = self._pods[target]["spec"]["containers"][0]["ports"]
        if port not in {each["name"] for each in ports}:
            return False
        out = self._rules(source, "Egress")
        into = self._rules(target, "Ingress")
        return any(self._fits(rule, "to", target, port) for rule in out) and any(
            self._fits(rule, "from", source, port) for rule in into
        )

    def _rules(self, pod: str, direction: str) -> list[Any]:
        labels = self._pods[pod]["metadata"]["labels"]
        chosen = [
            policy
            for policy in self._policies
            if policy["podSelector"]["matchLabels"].items() <= labels.items()
            and direction in policy["policyTypes"]
        ]
        assert chosen, f"no policy for {direction} of {pod}: everything would be allowed"
        return [rule for policy in chosen for rule in policy.get(direction.lower(), [])]

    def _fits(self, rule: Any, key: str, pod: str, port: str) -> bool:
        if "ports" in rule and port not in [each["port"] for each in rule["ports"]]:
            return False
        labels = self._pods[pod]["metadata"]["labels"]
        return key not in rule or any(
            "namespaceSelector" not in peer
            and "podSelector" in peer
            and peer["podSelector"]["matchLabels"].items() <= labels.items()
            for peer in rule[key]
        )


STORES = {"mongodb": "mongodb", "rabbitmq": "rabbitmq", "redis": "redis", "s3": "s3"}
NEEDED = {
    "frontend": {"mongodb", "rabbitmq", "redis", "s3"},
    "broker": {"mongodb", "rabbitmq"},
    "worker-default": {"mongodb", "rabbitmq", "s3"},
    "garbage-collector": {"mongodb", "s3"},
    "test": {"frontend"},
    **{name: set() for name in STORES},
}


@pytest.mark.parametrize("source", NEEDED)
def test_a_pod_reaches_what_it_needs_and_nothing_else(render: Any, source: str) -> None:
    network = Network(render("trial"))
    ports = {**STORES, "frontend": "http"}
    reached = {name for name, port in ports.items() if network.allows(source, name, port)}
    assert reached == NEEDED[source]


def test_the_object_store_is_reached_by_those_who_keep_results_there(render: Any) -> None:
    network = Network(render("postgresql-rabbitmq-objectstore-memcached"))
    reached = {name for name in PROCESSES if network.allows(name, "object-store", "http")}
    assert reached == {"frontend", "worker-default", "garbage-collector"}


def test_everything_is_denied_first(render: Any) -> None:
    policy = render("minimal").one("NetworkPolicy", "-default")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in policy
    (dns,) = policy["egress"]
    assert {port["port"] for port in dns["ports"]} == {53}


def test_the_management_port_is_open_to_nobody_unless_named(render: Any) -> None:
    assert not render("minimal").has("NetworkPolicy", "-metrics")
    (rule,) = next(
        each
        for each in render("everything").of_kind("NetworkPolicy")
        if each["metadata"]["name"].endswith("-metrics")
    )["spec"]["ingress"]
    assert rule["ports"] == [{"port": "management", "protocol": "TCP"}]
    assert rule["from"] == [
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    ]


def test_the_frontend_is_open_to_those_who_are_named(render: Any) -> None:
    (anybody,) = render("minimal").one("NetworkPolicy", "-frontend")["spec"]["ingress"]
    assert "from" not in anybody
    named = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress"}}}]
    (rule,) = render("minimal", {"networkPolicy.frontendFrom": named}).one("NetworkPolicy", "-frontend")[
        "spec"
    ]["ingress"]
    assert rule["from"][:1] == named
    # And the pod of `helm test`.
    assert len(rule["from"]) == 2


def test_servers_outside_can_be_named(render: Any) -> None:
    policies = {
        each["metadata"]["name"]: each["spec"] for each in render("everything").of_kind("NetworkPolicy")
    }
    rules = policies["test-weather-broker"]["egress"]
    assert {
        "ports": [{"port": 5433, "protocol": "TCP"}],
        "to": [{"ipBlock": {"cidr": "192.0.2.5/32"}}],
    } in rules
    assert {"ports": [{"port": 5672, "protocol": "TCP"}]} in rules


@pytest.mark.parametrize(
    ("overrides", "ports"),
    [
        ({}, {27017, 5672, 6379, 443}),
        ({"backends.s3.host": "https://s3.example.org:9000"}, {27017, 5672, 6379, 9000}),
        ({"backends.s3.host": "http://s3.example.org:9000/"}, {27017, 5672, 6379, 9000}),
        ({"backends.mongodb.uri": "mongodb://a:27018,b/?replicaSet=rs"}, {27018, 27017, 5672, 6379, 443}),
        ({"networkPolicy.backends.mongodb.ports": [27020]}, {27020, 5672, 6379, 443}),
    ],
)
def test_servers_outside_are_open_on_the_ports_of_their_addresses(
    render: Any, overrides: dict[str, Any], ports: set[int]
) -> None:
    rendered = render("minimal", {"backends.redis.port": 6379, "backends.s3.port": 443, **overrides})
    policies = {each["metadata"]["name"]: each["spec"] for each in rendered.of_kind("NetworkPolicy")}
    rules = policies["test-polytope-frontend"]["egress"]
    assert {port["port"] for rule in rules for port in rule["ports"]} == ports


def test_the_test_reaches_results_that_come_from_s3(render: Any) -> None:
    tested = {"test.collection": "a", "test.username": "b", "test.passwordSecret": "c"}
    for url, port in (("https://data.example.org", 443), ("http://data.example.org:8080/x", 8080)):
        rendered = render("minimal", {**tested, "backends.s3.publicUrl": url})
        policies = {each["metadata"]["name"]: each["spec"] for each in rendered.of_kind("NetworkPolicy")}
        assert {"ports": [{"port": port, "protocol": "TCP"}]} in policies["test-polytope-test"]["egress"]


def test_a_pool_reaches_its_data_sources(render: Any) -> None:
    policies = {
        each["metadata"]["name"]: each["spec"] for each in render("everything").of_kind("NetworkPolicy")
    }
    tape = {"to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "tape"}}}]}
    assert tape in policies["test-weather-worker-archive"]["egress"]
    assert tape not in policies["test-weather-worker-general"]["egress"]


def test_policies_can_be_left_out(render: Any) -> None:
    assert not render("minimal", {"networkPolicy.enabled": False}).of_kind("NetworkPolicy")


def test_standalone_has_nothing_of_the_others(render: Any) -> None:
    rendered = render("standalone", {"trial.mongodb.enabled": True})
    assert [each["metadata"]["name"] for each in rendered.workloads()] == ["test-polytope-standalone"]
    (service,) = rendered.of_kind("Service")
    labels = rendered.pods()["test-polytope-standalone"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()


@pytest.mark.parametrize("values", ["standalone", "postgresql-rabbitmq-objectstore-memcached"])
def test_a_claim_of_the_installer_is_used(render: Any, values: str) -> None:
    section = "standalone" if values == "standalone" else "objectStore"
    rendered = render(values, {f"{section}.persistence.existingClaim": "mine"})
    assert not rendered.of_kind("PersistentVolumeClaim")
    claims = [
        volume["persistentVolumeClaim"]["claimName"]
        for pod in rendered.pods().values()
        for volume in pod["spec"]["volumes"]
        if "persistentVolumeClaim" in volume
    ]
    assert claims == ["mine"]


def test_names_that_differ_in_their_ends_stay_different(render: Any) -> None:
    """Names of releases have 53 characters at most, those of objects 63."""
    first, second = (
        {found["metadata"]["name"] for found in render("trial", {"fullnameOverride": name}).objects}
        for name in ("a" * 40 + "-europe-1", "a" * 40 + "-europe-2")
    )
    assert not first & second
    assert all(len(name) <= 63 for name in first)
    assert "a" * 40 in {
        found["metadata"]["name"] for found in render("trial", {"fullnameOverride": "a" * 40}).objects
    }
