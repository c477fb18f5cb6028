"""The configuration that the chart makes is one that the server takes, and that fits the chart."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from polytope_server.config import Configuration, load

CONFIGURATIONS = Path(__file__).parents[2] / "polytope-deployment" / "config"
#: That fits the values of mongodb-rabbitmq-s3-redis and postgresql-rabbitmq-objectstore-memcached.
ADDRESSES = {
    "MONGODB_URI": "mongodb://mongodb.example.org:27017/?replicaSet=rs0",
    "RABBITMQ_HOST": "rabbitmq.example.org",
    "RABBITMQ_PORT": "5672",
    "RABBITMQ_VIRTUAL_HOST": "/",
    "S3_HOST": "https://s3.example.org",
    "S3_PORT": "8443",
    "S3_BUCKET": "results",
    "OBJECT_STORE_HOST": "test-polytope-object-store",
    "OBJECT_STORE_PORT": "8000",
    "REDIS_HOST": "redis.example.org",
    "REDIS_PORT": "6380",
    "MEMCACHED_HOST": "memcached.example.org",
    "MEMCACHED_PORT": "11211",
}


def plain(raw: Mapping[str, Any], *sections: str) -> dict[str, Any]:
    """Sections as they would be read: numbers that are texts become numbers."""

    def known(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: known(inner) for key, inner in value.items()}
        return int(value) if isinstance(value, str) and value.isdigit() else value

    return {section: known(raw.get(section)) for section in sections}


def test_the_server_takes_it(rendered: Any, loaded: Callable[..., Configuration], values: str) -> None:
    configuration = loaded(rendered)
    assert configuration.settings.frontend.bind_to == "0.0.0.0"
    assert not configuration.warnings
    assert not configuration.refusals


def test_every_pool_takes_it(rendered: Any, loaded: Callable[..., Configuration], values: str) -> None:
    pools = [
        found["metadata"]["labels"]["polytope-server/pool"]
        for found in rendered.pods().values()
        if "polytope-server/pool" in found["metadata"]["labels"]
    ]
    assert pools or values == "standalone"
    for pool in pools:
        assert loaded(rendered, f"-worker-{pool}").settings.worker.grace > 0


@pytest.mark.parametrize("name", ["mongodb-rabbitmq-s3-redis", "postgresql-rabbitmq-objectstore-memcached"])
def test_back_ends_are_wired_as_in_the_files_beside_the_chart(
    render: Any, loaded: Callable[..., Configuration], name: str, tmp_path: Path
) -> None:
    rendered = render(name)
    environment = ADDRESSES | rendered.variables()
    if name.startswith("mongodb"):
        environment |= {"RABBITMQ_PORT": "5673", "RABBITMQ_VIRTUAL_HOST": "weather"}
    example = load([CONFIGURATIONS / f"{name}.yaml"], environ=environment, system_file=tmp_path / "none").raw
    sections = (
        *("request_store", "metric_store", "identity", "api-keys", "authentication"),
        *("queue", "notices", "staging", "caching"),
    )
    wired = plain(loaded(rendered).raw, *sections)
    # What the chart adds, so that releases and pods fit each other.
    (cache,) = wired["caching"].values()
    assert cache.pop("prefix") == "test-polytope.weather"
    if "polytope" in wired["staging"]:
        assert wired["staging"]["polytope"].pop("bind_to") == "0.0.0.0"
        assert wired["staging"]["polytope"].pop("management") == {"host": "0.0.0.0", "port": 8090}
    if name.startswith("mongodb"):
        # The chart names what the file leaves to its default, and serves results by the frontend.
        assert wired["request_store"]["mongodb"].pop("collection") == "requests"
        del example["staging"]["s3"]["use_presigned_url"]
    assert wired == plain(example, *sections)


def test_results_come_from_s3_only_if_clients_can_reach_it(
    render: Any, loaded: Callable[..., Configuration]
) -> None:
    assert "use_presigned_url" not in loaded(render("minimal")).raw["staging"]["s3"]
    public = render("minimal", {"backends.s3.publicUrl": "https://data.example.org"})
    staging = loaded(public).raw["staging"]["s3"]
    assert staging["url"] == "https://data.example.org"
    assert staging["use_presigned_url"] is True


def test_config_wins_over_what_the_chart_wires(render: Any, loaded: Callable[..., Configuration]) -> None:
    rendered = render("minimal", {"config": {"queue": {"rabbitmq": {"keep_alive_interval": "5s"}}}})
    queue = loaded(rendered).raw["queue"]["rabbitmq"]
    assert queue["keep_alive_interval"] == "5s"
    assert queue["host"] == "rabbitmq.example.org"


def test_the_proxy_is_trusted_only_where_there_is_one(
    render: Any, loaded: Callable[..., Configuration]
) -> None:
    assert loaded(render("minimal")).settings.frontend.proxy_support is False
    behind = {"ingress.enabled": True, "ingress.hosts": ["polytope.example.org"]}
    assert loaded(render("minimal", behind)).settings.frontend.proxy_support is True
    single = {**behind, "backends.users": False}
    assert loaded(render("standalone", single)).settings.frontend.proxy_support is True


def test_users_of_the_role_admin_are_administrators(
    render: Any, loaded: Callable[..., Configuration]
) -> None:
    assert loaded(render("minimal")).raw["admin"]["roles"] == {"users": ["admin"]}
    assert "admin" not in loaded(render("minimal", {"backends.users": False})).raw


#: What would move a process away from its Services, policies and probes.
MOVED = {
    "frontend": {"port": 32001, "bind_to": "127.0.0.1", "management": {"port": 1, "host": "127.0.0.1"}},
    **{name: {"management": {"port": None}} for name in ("broker", "worker", "garbage-collector")},
    "staging": {"polytope": {"port": 1, "host": "elsewhere", "bind_to": "::1", "management": {"port": 1}}},
}
SPLIT = "postgresql-rabbitmq-objectstore-memcached"


@pytest.mark.parametrize("where", ["config", "the configuration of a pool", "a Secret"])
@pytest.mark.parametrize(
    "pod", ["-frontend", "-broker", "-worker-default", "-garbage-collector", "-object-store"]
)
def test_no_file_moves_a_process_from_where_the_chart_looks(
    render: Any, loaded: Callable[..., Configuration], pod: str, where: str
) -> None:
    overrides: dict[str, dict[str, Any]] = {
        "config": {"config": MOVED},
        "the configuration of a pool": {"workerDefaults.config": MOVED},
        "a Secret": {"existingSecretConfig.name": "vault"},
    }
    rendered = render(SPLIT, overrides[where])
    configuration = loaded(rendered, pod, {"secret.yaml": yaml.safe_dump(MOVED)})
    settings, polytope = configuration.settings, configuration.raw["staging"]["polytope"]
    assert polytope["host"] == "test-polytope-object-store"
    assert (polytope["bind_to"], polytope["port"]) == ("0.0.0.0", 8000)
    assert polytope["management"] == {"host": "0.0.0.0", "port": 8090}
    if pod == "-object-store":
        return
    assert (settings.frontend.bind_to, settings.frontend.port) == ("0.0.0.0", 5000)
    for process in (settings.frontend, settings.broker, settings.worker, settings.garbage_collector):
        assert (process.management.host, process.management.port) == ("0.0.0.0", 8090)


def test_in_the_one_pod_the_frontend_has_the_management_port(
    render: Any, loaded: Callable[..., Configuration]
) -> None:
    management = {"port": 8091, "host": "127.0.0.1"}
    config = {name: {"management": management} for name in ("frontend", "broker")}
    settings = loaded(render("standalone", {"config": config})).settings
    assert (settings.frontend.management.host, settings.frontend.management.port) == ("0.0.0.0", 8090)
    assert settings.broker.management.port == 8091


def test_deployments_on_one_mongodb_can_be_apart(render: Any, loaded: Callable[..., Configuration]) -> None:
    own = {"backends.mongodb.database": "weather", "backends.mongodb.collection": "weather"}
    raw = loaded(render("minimal", own)).raw
    users = raw["authentication"]["users"]
    assert raw["request_store"]["mongodb"]["collection"] == "weather"
    for keys in (
        raw["metric_store"]["mongodb"],
        raw["identity"]["mongodb"],
        *raw["api-keys"].values(),
        users["authenticators"]["users"],
        users["authorizers"]["users"],
    ):
        assert keys["database"] == "weather"
    shared = loaded(render("minimal")).raw
    assert "database" not in shared["identity"]["mongodb"] | shared["metric_store"]["mongodb"]


def test_another_configuration_makes_other_pods(render: Any) -> None:
    def sums(overrides: dict[str, Any] | None = None) -> dict[str, Any]:
        pods = render("postgresql-rabbitmq-objectstore-memcached", overrides).pods()
        return {
            name.removeprefix("test-polytope-"): {
                key: value
                for key, value in pod["metadata"].get("annotations", {}).items()
                if key.startswith("checksum/")
            }
            for name, pod in pods.items()
        }

    def changed(overrides: dict[str, Any]) -> set[str]:
        after = sums(overrides)
        return {name for name, before in sums().items() if before != after[name]}

    server = {"frontend", "broker", "garbage-collector", "worker-default"}
    assert changed({"config": {"collections": {"a": {"datasources": ["echo"]}}}}) == server
    assert changed({"objectStore.quota": "1G"}) == {*server, "object-store"}
    assert changed({"workerDefaults.grace": 1}) == {"worker-default"}
    assert changed({"secrets.values.RABBITMQ_PASSWORD": "new"}) == {*server, "object-store"}


def test_a_pool_with_collections_has_a_queue_of_its_own(
    render: Any, loaded: Callable[..., Configuration]
) -> None:
    rendered = render("everything")
    assert loaded(rendered).collections["features"].queue == "features"
    assert loaded(rendered, "-worker-features").settings.worker.queues == ["features"]


def test_queues_that_no_pool_names_are_left_to_the_others(
    render: Any, loaded: Callable[..., Configuration]
) -> None:
    rendered = render("everything")
    assert loaded(rendered, "-worker-archive").settings.worker.queues == ["tape", "slow"]
    assert loaded(rendered, "-worker-general").settings.worker.queues == ["default"]


def test_a_single_pool_serves_everything(render: Any, loaded: Callable[..., Configuration]) -> None:
    assert loaded(render("trial"), "-worker-default").settings.worker.queues is None


def test_a_pool_can_change_data_sources(render: Any, loaded: Callable[..., Configuration]) -> None:
    rendered = render("everything")
    sources = loaded(rendered, "-worker-archive").raw["datasources"]
    assert sources["tape"] == {"type": "echo", "queue": "tape", "repr": "tape"}
    assert "repr" not in loaded(rendered).raw["datasources"]["tape"]


def test_a_pool_can_take_back_what_the_defaults_say(render: Any) -> None:
    """Also by a zero, a false and an empty list."""
    defaults = {
        "workerDefaults.replicas": 3,
        "workerDefaults.grace": 60,
        "workerDefaults.extraEnv": [{"name": "A", "value": "1"}],
        "workers": [
            {
                "name": "own",
                "replicas": 0,
                "grace": 0,
                "extraEnv": [],
                "podDisruptionBudget": {"enabled": False},
                "resources": {"limits": {"memory": "1Gi"}},
            },
            {"name": "other", "collections": ["echo"]},
        ],
    }
    rendered = render("trial", defaults)
    assert rendered.one("Deployment", "-worker-own")["spec"]["replicas"] == 0
    assert rendered.one("Deployment", "-worker-other")["spec"]["replicas"] == 3
    assert "grace: 0" in rendered.config("-worker-own", "pool.yaml")
    assert not rendered.has("PodDisruptionBudget", "-worker-own")
    (own,) = rendered.pods()["test-polytope-worker-own"]["spec"]["containers"]
    assert "A" not in [variable["name"] for variable in own["env"]]
    assert own["resources"]["limits"] == {"memory": "1Gi"}
    assert own["resources"]["requests"]["memory"] == "512Mi"


def test_processes_can_listen_on_addresses_of_ipv6(render: Any, loaded: Callable[..., Configuration]) -> None:
    settings = loaded(render(SPLIT, {"bindTo": "::"})).settings
    assert (settings.frontend.bind_to, settings.frontend.management.host) == ("::", "::")
    rendered = render(SPLIT, {"bindTo": "::"})
    assert loaded(rendered, "-object-store").raw["staging"]["polytope"]["bind_to"] == "::"
