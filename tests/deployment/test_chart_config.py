"""The configuration that the chart makes is one that the server takes, and holds no secret."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from polytope_server.config import Configuration, load

CONFIGURATIONS = Path(__file__).parents[2] / "polytope-deployment" / "config"
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


def variables(rendered: Any) -> dict[str, str]:
    """What the pods have from Secrets."""
    found = dict(EXISTING)
    for secret in rendered.of_kind("Secret"):
        found |= {name: base64.b64decode(value).decode() for name, value in secret["data"].items()}
    return found


@pytest.fixture
def loaded(tmp_path: Path) -> Callable[..., Configuration]:
    """The configuration that a process of a rendered chart reads: of a pool, if it is named."""

    def read(rendered: Any, pool: str = "", prefix: str = "test-polytope") -> Configuration:
        files = []
        wanted = {f"{prefix}-config": "config.yaml"}
        if pool:
            wanted[f"{prefix}-worker-{pool}"] = "pool.yaml"
        maps = {each["metadata"]["name"]: each["data"] for each in rendered.of_kind("ConfigMap")}
        for name, file in wanted.items():
            files.append(tmp_path / f"{name}.yaml")
            files[-1].write_text(maps[name][file])
        return load(files, environ=variables(rendered), system_file=tmp_path / "none")

    return read


def plain(raw: Mapping[str, Any], *sections: str) -> dict[str, Any]:
    """Sections as they would be read: numbers that are texts become numbers."""

    def known(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: known(inner) for key, inner in value.items()}
        return int(value) if isinstance(value, str) and value.isdigit() else value

    return {section: known(raw.get(section)) for section in sections}


def test_the_server_takes_it(rendered: Any, loaded: Callable[..., Configuration], values: str) -> None:
    prefix = "test-weather" if values == "everything" else "test-polytope"
    configuration = loaded(rendered, prefix=prefix)
    assert configuration.settings.frontend.bind_to == "0.0.0.0"
    assert not [warning for warning in configuration.warnings if "clear text" not in warning]


def test_every_pool_takes_it(rendered: Any, loaded: Callable[..., Configuration], values: str) -> None:
    prefix = "test-weather" if values == "everything" else "test-polytope"
    pools = [
        found["metadata"]["labels"]["polytope-server/pool"]
        for found in rendered.pods().values()
        if "polytope-server/pool" in found["metadata"]["labels"]
    ]
    assert pools or values == "standalone"
    for pool in pools:
        assert loaded(rendered, pool, prefix).settings.worker.grace > 0


@pytest.mark.parametrize("name", ["mongodb-rabbitmq-s3-redis", "postgresql-rabbitmq-objectstore-memcached"])
def test_back_ends_are_wired_as_in_the_files_beside_the_chart(
    render: Any, loaded: Callable[..., Configuration], name: str, tmp_path: Path
) -> None:
    rendered = render(name)
    environment = ADDRESSES | variables(rendered)
    if name.startswith("mongodb"):
        environment |= {"RABBITMQ_PORT": "5673", "RABBITMQ_VIRTUAL_HOST": "weather"}
    example = load([CONFIGURATIONS / f"{name}.yaml"], environ=environment, system_file=tmp_path / "none").raw
    sections = (
        *("request_store", "metric_store", "identity", "api-keys", "authentication"),
        *("queue", "notices", "staging", "caching"),
    )
    wired = plain(loaded(rendered).raw, *sections)
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


def test_no_secret_is_in_anything_but_secrets(rendered: Any) -> None:
    secrets = {
        value
        for secret in rendered.of_kind("Secret")
        for name, encoded in secret["data"].items()
        if not name.endswith("USERNAME")
        for value in (encoded, base64.b64decode(encoded).decode())
    }
    for found in rendered.objects:
        if found["kind"] != "Secret":
            assert not [value for value in secrets if value in str(found)]


def test_secrets_of_the_values_become_variables_of_every_process(render: Any) -> None:
    rendered = render("minimal", {"secrets.values": {"MARS_TOKEN": "token-of-mars"}})
    data = rendered.one("Secret", "-secrets")["data"]
    assert base64.b64decode(data["MARS_TOKEN"]) == b"token-of-mars"
    for pod in rendered.pods().values():
        sources = [each["secretRef"]["name"] for each in pod["spec"]["containers"][0]["envFrom"]]
        # The later one wins.
        assert sources == ["test-polytope-secrets", "polytope"]


def test_random_secrets_are_long_and_different(render: Any) -> None:
    data = render("trial").one("Secret", "-secrets")["data"]
    made = {name: base64.b64decode(value) for name, value in data.items() if not name.endswith("USERNAME")}
    assert made.keys() == {
        *("POLYTOPE_KEY", "OBJECT_STORE_TOKEN", "TEST_PASSWORD"),
        *("MONGODB_PASSWORD", "RABBITMQ_PASSWORD", "REDIS_PASSWORD", "S3_ACCESS_KEY", "S3_SECRET_KEY"),
    }
    assert len(set(made.values())) == len(made)
    assert all(len(value) >= 32 for value in made.values())


def test_there_is_no_secret_if_nothing_is_in_it(render: Any) -> None:
    assert not render("minimal", {"secrets.generated": []}).of_kind("Secret")


def test_files_of_a_secret_win_over_config_but_not_over_what_the_chart_must_know(
    render: Any, tmp_path: Path
) -> None:
    """A Secret may hold an earlier server's whole file, with a port that no Service and no policy knows."""
    secret = {"existingSecretConfig": {"name": "vault", "files": ["a.yaml", "b.yaml"]}}
    config = {"config": {"broker": {"interval": 2}, "frontend": {"port": 1}}}
    rendered = render("minimal", secret | config)
    (container,) = rendered.pods()["test-polytope-worker-default"]["spec"]["containers"]
    files = {
        "/etc/polytope/config.yaml": rendered.config(),
        "/etc/polytope/secrets/a.yaml": "{broker: {interval: 3}, worker: {concurrency: 99}}",
        "/etc/polytope/secrets/b.yaml": "frontend: {port: 32001, bind_to: 127.0.0.1}",
        "/etc/polytope/pool/pool.yaml": rendered.config("-worker-default", "pool.yaml"),
        "/etc/polytope/chart.yaml": rendered.config(file="chart.yaml"),
    }
    command, *options = container["args"]
    assert command == "worker"
    assert options == [word for name in [*files][1:] for word in ("-f", name)]
    paths = [tmp_path / Path(name).name for name in files]
    for path, text in zip(paths, files.values(), strict=True):
        path.write_text(text)
    settings = load(paths, environ=variables(rendered), system_file=tmp_path / "none").settings
    assert settings.broker.interval == 3
    assert (settings.frontend.bind_to, settings.frontend.port) == ("0.0.0.0", 5000)
    assert settings.worker.concurrency != 99


def test_another_configuration_makes_other_pods(render: Any) -> None:
    def sums(overrides: dict[str, Any] | None = None) -> dict[str, Any]:
        pods = render("postgresql-rabbitmq-objectstore-memcached", overrides).pods()
        return {
            name.removeprefix("test-polytope-"): {
                key: value
                for key, value in pod["metadata"]["annotations"].items()
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
    collections = loaded(rendered, prefix="test-weather").collections
    assert collections["features"].queue == "features"
    assert loaded(rendered, "features", "test-weather").settings.worker.queues == ["features"]


def test_queues_that_no_pool_names_are_left_to_the_others(
    render: Any, loaded: Callable[..., Configuration]
) -> None:
    rendered = render("everything")
    assert loaded(rendered, "archive", "test-weather").settings.worker.queues == ["tape", "slow"]
    assert loaded(rendered, "general", "test-weather").settings.worker.queues == ["default"]


def test_a_single_pool_serves_everything(render: Any, loaded: Callable[..., Configuration]) -> None:
    assert loaded(render("trial"), "default").settings.worker.queues is None


def test_a_pool_can_change_data_sources(render: Any, loaded: Callable[..., Configuration]) -> None:
    rendered = render("everything")
    sources = loaded(rendered, "archive", "test-weather").raw["datasources"]
    assert sources["tape"] == {"type": "echo", "queue": "tape", "repr": "tape"}
    assert "repr" not in loaded(rendered, prefix="test-weather").raw["datasources"]["tape"]


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
