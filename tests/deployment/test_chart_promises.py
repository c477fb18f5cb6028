"""What every pod of the chart is: restricted, bounded, watched, and ended in good order."""

from __future__ import annotations

import re
from typing import Any

import pytest

#: Components of the server's own processes.
SERVER = {"frontend", "broker", "worker", "garbage-collector", "object-store", "standalone"}


def component(pod: dict[str, Any]) -> str:
    name: str = pod["metadata"]["labels"]["app.kubernetes.io/component"]
    return name


def containers(rendered: Any) -> list[dict[str, Any]]:
    return [container for pod in rendered.pods().values() for container in pod["spec"]["containers"]]


def server_pods(rendered: Any) -> list[dict[str, Any]]:
    return [pod for pod in rendered.pods().values() if component(pod) in SERVER]


def test_pods_fit_the_restricted_standard(rendered: Any) -> None:
    for pod in rendered.pods().values():
        spec = pod["spec"]
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] == 10001
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in spec["containers"]:
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert not any("hostPort" in port for port in container.get("ports", []))
        assert not any("hostPath" in volume for volume in spec["volumes"])


def test_the_root_is_read_only_but_for_development(rendered: Any, values: str) -> None:
    for container in containers(rendered):
        read_only = container["securityContext"]["readOnlyRootFilesystem"]
        assert read_only is (values != "development")
        assert {"name": "tmp", "mountPath": "/tmp"} in container["volumeMounts"]


def test_pods_have_no_token_and_no_variables_of_services(rendered: Any) -> None:
    for account in rendered.of_kind("ServiceAccount"):
        assert account["automountServiceAccountToken"] is False
    for pod in rendered.pods().values():
        assert pod["spec"]["automountServiceAccountToken"] is False
        assert pod["spec"]["enableServiceLinks"] is False
        # The check comes before the account is made. Without a token it is a name.
        assert (pod["spec"]["serviceAccountName"] == "default") is (component(pod) == "check")


def test_containers_ask_for_resources_and_have_a_limit_of_memory(rendered: Any) -> None:
    for container in containers(rendered):
        assert container["resources"]["requests"].keys() >= {"cpu", "memory"}
        assert "memory" in container["resources"]["limits"]


def test_volumes_on_the_disk_of_a_node_have_a_limit(rendered: Any) -> None:
    for pod in rendered.pods().values():
        volumes = {
            volume["name"]: volume["emptyDir"] for volume in pod["spec"]["volumes"] if "emptyDir" in volume
        }
        assert volumes["tmp"] == {"sizeLimit": "2Gi"}
        # Those of the installer are the installer's.
        own = volumes.keys() - {"web"}
        assert all("sizeLimit" in volumes[name] for name in own), volumes


def test_the_limit_of_temporary_files_can_be_changed(render: Any) -> None:
    for given, limit in {"10Gi": {"sizeLimit": "10Gi"}, "": {}}.items():
        for pod in render("minimal", {"tmp.sizeLimit": given}).pods().values():
            (found,) = [one["emptyDir"] for one in pod["spec"]["volumes"] if one["name"] == "tmp"]
            assert found == limit


def test_a_trial_without_a_volume_of_its_own_has_a_limit(render: Any) -> None:
    rendered = render("trial", {"trial.mongodb.persistence.enabled": False})
    (pod,) = [pod for pod in rendered.pods().values() if component(pod) == "trial-mongodb"]
    assert {"name": "data", "emptyDir": {"sizeLimit": "2Gi"}} in pod["spec"]["volumes"]


def test_images_have_a_tag(rendered: Any) -> None:
    for container in containers(rendered):
        assert re.search(r":[\w.-]+$", container["image"])
        assert not container["image"].endswith(":latest")


def test_no_variable_is_there_twice(render: Any) -> None:
    """Helm 4 could not apply it. The one that is nearer to the process counts."""
    rendered = render(
        "minimal",
        {
            "extraEnv": [{"name": "A", "value": "all"}, {"name": "HOME", "value": "/home"}],
            "frontend.extraEnv": [{"name": "A", "value": "frontend"}],
            "workers": [{"name": "frontend", "extraEnv": [{"name": "A", "value": "pool"}]}],
        },
    )
    for container in containers(rendered):
        names = [variable["name"] for variable in container["env"]]
        assert len(names) == len(set(names))
    for name, value in (("frontend", "frontend"), ("worker-frontend", "pool"), ("broker", "all")):
        (container,) = rendered.pods()[f"test-polytope-{name}"]["spec"]["containers"]
        assert {"name": "A", "value": value} in container["env"]
        assert {"name": "HOME", "value": "/home"} in container["env"]
    (first, second) = rendered.pods()["test-polytope-check"]["spec"]["containers"]
    assert (first["name"], second["name"]) == ("frontend", "worker-frontend")
    assert {"name": "A", "value": "pool"} in second["env"]


def test_server_pods_are_probed_on_the_management_port(rendered: Any, values: str) -> None:
    for pod in server_pods(rendered):
        (container,) = pod["spec"]["containers"]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        variables = {variable["name"]: variable.get("value") for variable in container["env"]}
        assert variables["POLYTOPE_MANAGEMENT_PORT"] == str(ports["management"])
        ready = container["readinessProbe"]
        assert ready["httpGet"] == {"path": "/readyz", "port": "management"}
        # A store needs some 30 s to find a new primary; without any frontend clients would get no answer.
        assert ready["periodSeconds"] * ready["failureThreshold"] >= 30
        for probe in ("livenessProbe", "startupProbe"):
            assert container[probe]["httpGet"] == {"path": "/livez", "port": "management"}


def test_trial_pods_are_probed(render: Any) -> None:
    pods = [pod for pod in render("trial").pods().values() if component(pod).startswith("trial-")]
    assert len(pods) == 4
    for pod in pods:
        (container,) = pod["spec"]["containers"]
        assert {"startupProbe", "livenessProbe", "readinessProbe"} <= container.keys()


def test_pods_spread_over_nodes_if_they_can(render: Any) -> None:
    for pod in server_pods(render("minimal")):
        spread = pod["spec"]["topologySpreadConstraints"]
        assert [each["topologyKey"] for each in spread] == [
            "topology.kubernetes.io/zone",
            "kubernetes.io/hostname",
        ]
        for constraint in spread:
            assert constraint["whenUnsatisfiable"] == "ScheduleAnyway"
            labels = constraint["labelSelector"]["matchLabels"]
            assert labels.items() <= pod["metadata"]["labels"].items()


def test_what_must_not_fail_has_a_budget_that_lets_nodes_drain(render: Any) -> None:
    rendered = render("minimal")
    pods = rendered.pods()
    for name in ("frontend", "broker", "worker-default"):
        budget = rendered.one("PodDisruptionBudget", f"-{name}")["spec"]
        assert budget["maxUnavailable"] == 1
        labels = pods[f"test-polytope-{name}"]["metadata"]["labels"]
        assert budget["selector"]["matchLabels"].items() <= labels.items()


def test_selectors_find_their_pods_and_no_others(rendered: Any) -> None:
    pods = rendered.pods()
    for workload in rendered.workloads():
        wanted = workload["spec"]["selector"]["matchLabels"]
        found = [name for name, pod in pods.items() if wanted.items() <= pod["metadata"]["labels"].items()]
        assert found == [workload["metadata"]["name"]]
    for service in rendered.of_kind("Service"):
        wanted = service["spec"]["selector"]
        found = [pod for pod in pods.values() if wanted.items() <= pod["metadata"]["labels"].items()]
        assert found
        ports = {port["name"] for pod in found for port in pod["spec"]["containers"][0]["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports


def test_a_rolling_update_takes_no_frontend_away_before_another_is_ready(render: Any) -> None:
    for name in ("frontend", "broker", "worker-default"):
        strategy = render("minimal").one("Deployment", f"-{name}")["spec"]["strategy"]
        assert strategy["type"] == "RollingUpdate"
        assert strategy["rollingUpdate"]["maxUnavailable"] == 0


@pytest.mark.parametrize(
    ("values", "name"),
    [("standalone", "standalone"), ("postgresql-rabbitmq-objectstore-memcached", "object-store")],
)
def test_what_owns_a_volume_never_runs_twice(render: Any, values: str, name: str) -> None:
    deployment = render(values).one("Deployment", f"-{name}")
    assert deployment["spec"]["replicas"] == 1
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}


def test_a_frontend_ends_after_proxies_have_left_it(render: Any) -> None:
    (container,) = (spec := render("minimal").pods()["test-polytope-frontend"]["spec"])["containers"]
    assert container["lifecycle"]["preStop"]["exec"]["command"] == ["sleep", "5"]
    # The server gives calls in progress 30 s.
    assert spec["terminationGracePeriodSeconds"] > 5 + 30


def test_a_worker_has_its_grace_and_more_to_end(render: Any) -> None:
    rendered = render("minimal", {"workerDefaults.grace": 400})
    assert "grace: 400" in rendered.config("-worker-default", "pool.yaml")
    assert rendered.pods()["test-polytope-worker-default"]["spec"]["terminationGracePeriodSeconds"] > 400


def test_standalone_has_the_grace_of_its_worker_and_more_to_end(render: Any) -> None:
    rendered = render("standalone", {"standalone.grace": 400})
    assert "grace: 400" in rendered.config()
    assert rendered.pods()["test-polytope-standalone"]["spec"]["terminationGracePeriodSeconds"] > 430


def test_helm_test_and_the_check_have_certificates_and_nodes_as_the_frontend(render: Any) -> None:
    """And so have trial services nodes."""
    place = {
        "nodeSelector": {"pool": "web"},
        "tolerations": [{"key": "web", "operator": "Exists"}],
        "priorityClassName": "high",
    }
    certificates = {"name": "ca", "configMap": {"name": "ca"}}
    rendered = render(
        "trial",
        {
            **{f"frontend.{key}": value for key, value in place.items()},
            "extraEnv": [{"name": "REQUESTS_CA_BUNDLE", "value": "/ca/ca.pem"}],
            "extraVolumes": [certificates],
            "extraVolumeMounts": [{"name": "ca", "mountPath": "/ca"}],
        },
    )
    for name, pod in rendered.pods().items():
        if component(pod) not in SERVER - {"frontend"}:
            assert place.items() <= pod["spec"].items(), name
        if component(pod) in ("check", "test"):
            assert certificates in pod["spec"]["volumes"]
            for container in pod["spec"]["containers"]:
                assert {"name": "REQUESTS_CA_BUNDLE", "value": "/ca/ca.pem"} in container["env"]
                assert {"name": "ca", "mountPath": "/ca"} in container["volumeMounts"]


def test_helm_test_leaves_no_pod(render: Any) -> None:
    (pod,) = render("trial").of_kind("Pod")
    annotations = pod["metadata"]["annotations"]
    assert annotations["helm.sh/hook"] == "test"
    assert "hook-succeeded" in annotations["helm.sh/hook-delete-policy"]
    assert pod["spec"]["restartPolicy"] == "Never"


def test_claims_belong_to_the_release(rendered: Any) -> None:
    """A claim of a StatefulSet would stay, and no note would name it."""
    for workload in rendered.of_kind("StatefulSet"):
        assert "volumeClaimTemplates" not in workload["spec"]
    claims = {claim["metadata"]["name"] for claim in rendered.of_kind("PersistentVolumeClaim")}
    for pod in rendered.pods().values():
        used = {
            volume["persistentVolumeClaim"]["claimName"]
            for volume in pod["spec"]["volumes"]
            if "persistentVolumeClaim" in volume
        }
        assert used <= claims


def test_what_users_would_miss_stays(render: Any) -> None:
    def kept(values: str, suffix: str, **overrides: Any) -> bool:
        claim = render(values, overrides).one("PersistentVolumeClaim", suffix)
        return claim["metadata"].get("annotations", {}).get("helm.sh/resource-policy") == "keep"

    assert kept("standalone", "-standalone")
    assert not kept("standalone", "-standalone", **{"standalone.persistence.retain": False})
    assert not kept("trial", "-mongodb")
