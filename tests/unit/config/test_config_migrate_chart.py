"""From the values of the earlier chart: the configuration, the values of this chart, the Secrets."""

from __future__ import annotations

import re
import shlex
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from polytope_server.commands import main as cli
from polytope_server.config import Configuration, load
from polytope_server.settings import Settings
from polytope_server.settings.problems import keys_of, suggestion

pytestmark = pytest.mark.usefixtures("real_backends")
HERE = Path(__file__).parent
CHART = HERE / "earlier_chart"
FILES = sorted(file.stem for file in CHART.iterdir())
Migrate = Callable[..., str]


@pytest.fixture
def migrate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Migrate:
    """Runs the command on a text, or on a file of this name, and returns the report."""

    def run(what: str) -> str:
        file = CHART / f"{what}.yaml" if what in FILES else tmp_path / "earlier.yaml"
        if what not in FILES:
            file.write_text(what)
        options = ["--write", str(tmp_path / "new.yaml"), "--chart", str(tmp_path / "values.yaml")]
        assert cli.main(["config", "migrate", str(file), *options]) == 1
        return capsys.readouterr().out

    return run


@pytest.fixture
def values(migrate: Migrate, tmp_path: Path) -> Callable[[str], Any]:
    """The values that a text or a file becomes."""

    def write(what: str) -> Any:
        migrate(what)
        return yaml.safe_load((tmp_path / "values.yaml").read_text())

    return write


def loaded(file: Path, **environ: str) -> Configuration:
    return load([file], environ=environ, system_file=file.parent / "none")


def secrets_in(tmp_path: Path) -> dict[str, str]:
    """The entries of the Secret, as `kubectl create secret --from-env-file` reads them."""
    lines = (tmp_path / "values.secrets").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if not line.startswith("#"))


@pytest.mark.parametrize("name", FILES)
def test_what_is_written_is_accepted(name: str, migrate: Migrate, tmp_path: Path) -> None:
    report = migrate(name)
    loaded(tmp_path / "new.yaml", LDAP_PASSWORD="word").check_secrets()
    for title in ("Unknown", "To be mended", "Keys of this server"):
        assert title not in report


@pytest.mark.parametrize("name", FILES)
def test_secrets_stand_in_one_file_only_which_others_cannot_read(
    name: str, migrate: Migrate, tmp_path: Path
) -> None:
    """Of what the server does not need nothing is kept at all."""
    report = migrate(name)
    known = set(re.findall(r"earlier-[\w-]+", (CHART / f"{name}.yaml").read_text()))
    shown = report + (tmp_path / "values.yaml").read_text()
    assert not [secret for secret in known if secret in shown]
    file = tmp_path / "values.secrets"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    unneeded = {"earlier-ssh-key", "earlier-root-password", "earlier-telemetry-password"}
    assert not [secret for secret in unneeded if secret in file.read_text()]


def test_no_value_of_the_chart_is_taken_for_another_key(migrate: Migrate) -> None:
    report = migrate("values")
    assert "did you mean" not in report
    chart = report.partition("Values of the earlier chart, and")[2].partition("\n\n")[0]
    sections = ("global", "auth-o-tron", "rabbitmq", "mongodb", "mysql", "seaweedfs", "minio")
    for section in (*sections, "s3_access_key"):
        assert f"\n  {section} (" in chart
    # What the earlier chart ran, and nothing that was off.
    assert [line.split()[0] for line in chart.splitlines() if "DECIDE" in line] == [
        *("auth-o-tron", "rabbitmq", "mongodb", "seaweedfs"),
    ]


def test_users_in_the_form_of_the_chart_become_users(migrate: Migrate, tmp_path: Path) -> None:
    report = migrate("values")
    realm = yaml.safe_load((tmp_path / "new.yaml").read_text())["authentication"]["test-realm"]
    assert realm == {
        "authenticators": {
            "plain": {
                "type": "plain",
                "users": [
                    {"uid": "test", "password": "earlier-test-password"},
                    {"uid": "alice", "password": "earlier-alice-password"},
                ],
                "clear_text": True,
            }
        },
        "authorizers": {"plain": {"type": "plain", "roles": {"polytope-admin": ["alice"]}}},
    }
    assert "authentication.test-realm.authorizers.plain: DECIDE Made of the `roles`" in report


def test_roles_of_users_do_not_replace_an_authorizer(migrate: Migrate, tmp_path: Path) -> None:
    report = migrate(
        "authentication: {r: {authenticators: {a: {type: plain, users: "
        "[{uid: x, password: p, roles: 'b, c'}, {username: y, uid: z, password: p}]}}, "
        "authorizers: {a: {type: ldap, url: 'ldaps://h', search_base: 'DC=x'}}}}"
    )
    realm = yaml.safe_load((tmp_path / "new.yaml").read_text())["authentication"]["r"]
    assert realm["authorizers"]["a-roles"] == {"type": "plain", "roles": {"b": ["x"], "c": ["x"]}}
    # Which of two names counts is for a person to say.
    assert realm["authenticators"]["a"]["users"][1] == {"uid": "z", "password": "p"}
    assert "authentication.r.authenticators.a.users[1].username" in report.partition("Unknown")[2]


@pytest.mark.parametrize(
    ("password", "wish"),
    [
        ("'$argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA'", None),
        ("$ALICE_PASSWORD", True),
        ("sesame", True),
    ],
)
def test_clear_text_is_accepted_only_where_it_is(
    migrate: Migrate, tmp_path: Path, password: str, wish: bool | None
) -> None:
    plain = f"{{type: plain, users: [{{uid: x, password: {password}}}]}}"
    migrate(f"authentication: {{r: {{authenticators: {{a: {plain}}}}}}}")
    realm = yaml.safe_load((tmp_path / "new.yaml").read_text())["authentication"]["r"]
    assert realm["authenticators"]["a"].get("clear_text") is wish


def test_a_schema_in_git_is_kept_in_a_parent_and_in_a_collection(migrate: Migrate, tmp_path: Path) -> None:
    migrate("values")
    config = loaded(tmp_path / "new.yaml").collections["fdb-test"].datasources[0].keys["fdb_config"]
    git = {"remote": "git@git.example.org:schemas.git", "branch": "main", "path": "schema"}
    assert config == {
        "type": "local",
        "engine": "toc",
        "schema": {"git": git},
        "spaces": [{"handler": "Default", "roots": [{"path": "/data/fdb"}]}],
    }


def test_what_lacks_a_key_that_cannot_be_guessed_is_left_out(migrate: Migrate, tmp_path: Path) -> None:
    report = migrate("values")
    assert "authentication.desp.authenticators.openid_offline_access" in report.partition("Left out")[2]
    realm = yaml.safe_load((tmp_path / "new.yaml").read_text())["authentication"]["desp"]
    assert list(realm["authenticators"]) == ["keycloak"]
    assert "DECIDE openid_offline_access: left out, as it is not accepted. jwt_aud: is missing" in (
        (tmp_path / "new.yaml").read_text().replace("\n      # ", " ")
    )


def test_the_address_that_the_chart_itself_wrote_is_the_one(migrate: Migrate, tmp_path: Path) -> None:
    migrate("values")
    assert loaded(tmp_path / "new.yaml").settings.staging["s3"]["host"] == "seaweedfs-s3"


def test_back_ends_of_the_file_are_those_of_the_chart(values: Callable[[str], Any]) -> None:
    found = values("values")
    assert found["backends"] == {
        "users": False,
        "mongodb": {"uri": "mongodb://mongodb:27017", "collection": "requests", "authentication": False},
        "rabbitmq": {"host": "rabbitmq", "port": 5672, "virtualHost": "/", "name": "default"},
        "s3": {"host": "https://seaweedfs-s3", "port": 9000, "bucket": "default", "authentication": True},
        "cache": "mongodb",
    }
    assert "request_store" not in found["config"]
    assert "queue" not in found["config"]
    assert found["config"]["staging"] == {
        "s3": {"buffer_size": 10971520, "max_threads": 10, "use_ssl": True},
    }


def test_pods_are_as_before(values: Callable[[str], Any]) -> None:
    found = values("values")
    (pool,) = found["workers"]
    assert (pool["replicas"], pool["concurrency"]) == (12, 1)
    assert pool["resources"]["limits"] == {"memory": "4Gi", "cpu": "2"}
    assert (found["frontend"]["replicas"], found["frontend"]["podAnnotations"]) == (3, {"team": "data"})
    assert found["ingress"] == {
        "enabled": True,
        "hosts": ["polytope.example.org"],
        "annotations": {"nginx.org/client-max-body-size": "0"},
        "tls": [{"secretName": "frontend-tls", "hosts": ["polytope.example.org"]}],
    }
    assert found["extraEnv"] == [
        {"name": "POLYTOPE_PROXY", "value": "http://proxy.example.org:3128"},
        {"name": "SITE", "value": "main"},
        {"name": "LDAP_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "directory", "key": "password"}}},
    ]
    opened = [entry["port"] for entry in found["frontend"]["egress"][0]["ports"]]
    assert opened == [389, 443, 3128, 8080]


def test_secrets_to_make_are_listed_with_commands(migrate: Migrate, tmp_path: Path) -> None:
    report = migrate("values").partition("Secrets to make")[2].partition("\n\n")[0]
    commands = [shlex.split(line) for line in report.splitlines()[1:]]
    assert all(command[:5] == ["kubectl", "-n", "weather", "create", "secret"] for command in commands)
    assert [command[5:] for command in commands] == [
        ["generic", "polytope", f"--from-env-file={tmp_path}/values.secrets"],
        ["docker-registry", "polytope-registry", "--from-file=.dockerconfigjson=$HOME/.docker/config.json"],
        ["tls", "frontend-tls", "--cert=CERTIFICATE", "--key=KEY"],
        ["generic", "directory", "--from-file=password=FILE"],
    ]
    assert secrets_in(tmp_path) == {
        "RABBITMQ_USERNAME": "polytope",
        "RABBITMQ_PASSWORD": "earlier-rabbit-password",
        "S3_ACCESS_KEY": "earlier-access-key",
        "S3_SECRET_KEY": "earlier-secret-key",
        "AUTH_O_TRON_SECRET": "earlier-secret-of-the-tokens-0123456789",
        "TEST_REALM_TEST_PASSWORD": "earlier-test-password",
        "TEST_REALM_ALICE_PASSWORD": "earlier-alice-password",
        "HARVEST_TOKEN": "earlier-harvest-token",
        "WEBMARS_OVERRIDE_APIKEY": "earlier-web-key",
    }


def test_no_log_in_is_guessed(migrate: Migrate, tmp_path: Path) -> None:
    """Not even that of the earlier server's defaults."""
    report = migrate("basic")
    assert "fill them in before (2):\n  RABBITMQ_USERNAME, RABBITMQ_PASSWORD\n" in report
    text = (tmp_path / "values.secrets").read_text()
    assert "# RABBITMQ_PASSWORD=\n" in text
    assert secrets_in(tmp_path) == {"TEST_REALM_TEST_PASSWORD": "earlier-test-password"}
    assert "guest" not in text


def test_log_ins_in_addresses_become_variables(values: Callable[[str], Any], tmp_path: Path) -> None:
    found = values(
        "request_store: {mongodb: {uri: 'mongodb://me:p%40ss@h1,h2/?replicaSet=r'}}\n"
        "metric_store: {mongodb: {uri: 'mongodb://you:other@h3'}}\n"
        "caching: {mongodb: {uri: 'mongodb://h1,h2/?replicaSet=r', username: me, password: p@ss}}\n"
        "queue: {rabbitmq: {user: me, password: $RABBIT}}\n"
        "deployment: {polytope_proxy: 'http://me:secret@proxy:80',\n"
        "  default: {extraEnvironmentVars: {RABBIT: r}}}\n"
        "datasources: {w: {type: http, url: 'http://w:ww@h', headers: {X-Token: $TOKEN, Y: $OPEN}}}\n"
    )
    assert found["backends"]["mongodb"]["uri"] == "mongodb://h1,h2/?replicaSet=r"
    assert found["config"]["metric_store"] == {
        "mongodb": {"uri": "mongodb://you:${METRIC_STORE_MONGODB_URI}@h3"}
    }
    assert not {"caching", "extraEnv"} & {*found, *found["config"]}
    assert secrets_in(tmp_path) == {
        "MONGODB_USERNAME": "me",
        "MONGODB_PASSWORD": "p@ss",
        "RABBITMQ_USERNAME": "me",
        "RABBITMQ_PASSWORD": "r",
        "METRIC_STORE_MONGODB_URI": "other",
        "W_URL": "ww",
        "POLYTOPE_PROXY": "http://me:secret@proxy:80",
    }
    text = (tmp_path / "values.secrets").read_text()
    for name in ("TOKEN", "OPEN"):
        assert f"# {name}=\n" in text


@pytest.mark.parametrize(
    ("section", "cache"),
    [
        ("caching: {redis: {host: h, password: p}}", "redis"),
        ("caching: {memcached: {host: h}}", "memcached"),
        ("caching: {globalvar: {}}", "mongodb"),
        ("{}", "mongodb"),
    ],
)
def test_all_frontends_share_a_cache(values: Callable[[str], Any], section: str, cache: str) -> None:
    found = values(f"request_store: {{mongodb: {{}}}}\n{'' if section == '{}' else section}")
    assert found["backends"]["cache"] == cache
    assert "caching" not in found["config"]


def test_a_secret_of_several_lines_has_a_secret_of_its_own(migrate: Migrate, tmp_path: Path) -> None:
    report = migrate(
        "datasources: {w: {type: http, url: 'http://h', headers: {X-Token: \"a\\nb\"}}}\n"
        'deployment: {default: {extraEnvironmentVars: {KEY_TOKEN: "a\\nb"}}}'
    )
    assert "create secret generic polytope-key-token --from-file=KEY_TOKEN=FILE" in report
    assert (
        "polytope-key-token" in yaml.safe_load((tmp_path / "values.yaml").read_text())["secrets"]["existing"]
    )


def test_the_values_cannot_go_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["config", "migrate", str(CHART / "basic.yaml"), "--chart", "-"])
    assert "a file is needed" in capsys.readouterr().err


def test_the_loader_knows_what_belongs_to_the_earlier_chart(tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    file.write_text("minio: {enabled: true}\nusers: {}\nloging: {}")
    found = [warning.split(": ", 2)[1:] for warning in loaded(file).warnings]
    assert [
        "minio",
        "a value of an earlier server's chart, which the server does not read; see `config migrate`",
    ] in (found)
    assert ["loging", "unknown section; did you mean 'logging'?"] in found


@pytest.mark.parametrize("name", ["minio", "mysql", "hooks", "redis"])
def test_a_name_that_is_like_none_is_not_taken_for_another(name: str) -> None:
    assert suggestion(name, keys_of(Settings)).startswith("known: ")


def test_what_only_stands_near_a_secret_stays(values: Callable[[str], Any]) -> None:
    found = values(
        "authentication: {r: {authenticators: {tokens: {type: keycloak, url: 'https://k', client_id: c, "
        "client_secret: earlier-word, keycloak_realm: r}}}}\n"
        "queue: {rabbitmq: {}}"
    )
    tokens = found["config"]["authentication"]["r"]["authenticators"]["tokens"]
    assert tokens["type"] == "keycloak"
    assert tokens["client_secret"] == "$R_TOKENS_CLIENT_SECRET"


@pytest.mark.parametrize(
    ("deployment", "path", "value"),
    [
        ("{nodeport: 30001}", "frontend.service", {"type": "NodePort", "nodePort": 30001}),
        ("{worker_node: n1}", "workers.0.nodeSelector", {"kubernetes.io/hostname": "n1"}),
        ("{worker: {resources: {cpu: 1}}}", "workers.0", {"name": "default", "concurrency": 1}),
        ("{ingress: {enabled: true, deployment_name: a, common_domain: b}}", "ingress.hosts", ["a.b"]),
        ("{frontend: {replicas: 0}}", "frontend.replicas", 0),
        ("{imagePullPolicy: Always}", "image.pullPolicy", "Always"),
    ],
)
def test_other_values_of_the_deployment(
    values: Callable[[str], Any], deployment: str, path: str, value: object
) -> None:
    found = values(f"deployment: {deployment}")
    for key in path.split("."):
        found = found[int(key)] if key.isdecimal() else found[key]
    assert found == value


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("queue: {rabbitmq: {host: h}}", "mongodb.uri"),
        ("request_store: {mongodb: {}}", "rabbitmq.host"),
        ("queue: {rabbitmq: {host: h}}", "s3.host"),
        ("queue: {rabbitmq: {host: h}}", "cache"),
    ],
)
def test_a_back_end_that_the_old_file_lacks_is_to_be_named(migrate: Migrate, text: str, missing: str) -> None:
    assert f"\n  backends: DECIDE {missing}: " in migrate(text)


def test_the_file_says_what_takes_the_place_of_servers_that_end(migrate: Migrate, tmp_path: Path) -> None:
    """Who edits it has the report no more."""
    migrate("values")
    text = (tmp_path / "values.yaml").read_text().replace("\n# ", " ").partition("\nbackends:")[0]
    assert "ends with its release (MongoDB, RabbitMQ, SeaweedFS)" in text
    assert "MONGODB_PASSWORD with `mongodb.authentication: true`, RABBITMQ_USERNAME" in text
    assert "`config`, too (api-keys.generator.uri, api-keys.authenticator.uri)" in text


@pytest.mark.parametrize("section", ["mongodb: {enabled: false}", "mysql: {enabled: true}"])
def test_what_did_not_run_does_not_end(migrate: Migrate, section: str) -> None:
    report = migrate(f"{section}\nrequest_store: {{mongodb: {{uri: 'mongodb://h'}}}}")
    assert "ends with its release" not in report
    assert "stands in `config`, too" not in report


def test_names_of_the_old_file_are_no_commands(migrate: Migrate) -> None:
    report = migrate(
        "global: {namespace: 'a; rm -rf .'}\n"
        "deployment: {default: {extraEnvironmentVars: {A: {secretKeyRef: {name: b$(c), key: d}}}}}"
    )
    assert "kubectl -n 'a; rm -rf .' create secret generic 'b$(c)' --from-file=d=FILE" in report


def test_postgresql_is_the_store_of_the_chart(values: Callable[[str], Any], tmp_path: Path) -> None:
    url = "postgresql://me:word@h/db"
    found = values(f"request_store: {{sql: {{url: '{url}'}}}}\nmetric_store: {{sql: {{url: '{url}'}}}}")
    assert found["backends"]["store"] == "postgresql"
    assert not {"request_store", "metric_store"} & found["config"].keys()
    assert secrets_in(tmp_path)["POSTGRESQL_URL"] == url
