"""Nothing leaks: secrets are planted wherever one can be, all calls are made, what is written is searched.

Each server logs at DEBUG, that of its libraries included.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import boto3
import botocore
import pika
import pytest
import redis
from credential_services import AuthOTron, Client, Keycloak, Person, WhoAmI

from polytope_server.commands.main import main
from polytope_server.redaction import redactor
from polytope_server.runtime import log
from polytope_server.settings import backends
from polytope_server.settings.root import LoggingSettings
from testbed.server import StandaloneServer, basic, free_port
from testbed.services import MongoDB, RabbitMQ, Redis

if TYPE_CHECKING:
    from conftest import Stacks
from seeds import (
    DEBUG,
    Seeds,
    Witness,
    check_nothing_is_found,
    folder,
    keyed,
    sealed_rows,
    ways_of_asking,
    wrong_calls,
)

pytestmark = pytest.mark.unmeasured


@pytest.fixture
def seeds() -> Seeds:
    return Seeds()


@pytest.fixture
def plugin(tmp_path: Path) -> dict[str, str]:
    """The environment of a server on which the data source `keyed` is installed."""
    site = tmp_path / "site"
    site.mkdir()
    shutil.copy(Path(__file__).parent / "plugin" / "keyed.py", site)
    info = site / "keyed-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: keyed\nVersion: 1.0\n")
    group = "polytope_server.datasources"
    (info / "entry_points.txt").write_text(f"[{group}]\nkeyed = keyed:KeyedDataSource\n")
    return {"PYTHONPATH": os.pathsep.join(filter(None, (str(site), os.environ.get("PYTHONPATH"))))}


Tell = Callable[[StandaloneServer], str]


@pytest.fixture
def printed(
    plugin: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Tell]:
    """What the command line says of the configuration of a server."""

    def tell(server: StandaloneServer) -> str:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        files = [part for file in server.files for part in ("-f", str(file))]
        assert [main(["config", command, *files]) for command in ("check", "show")] == [0, 0]
        return str(capsys.readouterr())

    monkeypatch.syspath_prepend(plugin["PYTHONPATH"].partition(os.pathsep)[0])
    backends.plug_ins.cache_clear()
    yield tell
    backends.plug_ins.cache_clear()


def test_every_scheme_on_embedded_back_ends(
    seeds: Seeds, plugin: dict[str, str], printed: Tell, tmp_path: Path
) -> None:
    otto = {"username": "otto", "realm": "far", "roles": [], "attributes": {"ecmwf-apikey": "of otto"}}
    person = Person("kim", seeds["password of kim"])
    with (
        WhoAmI({seeds["EmailKey"]: {"uid": "emil", "email": "emil@example.org"}}) as who_am_i,
        AuthOTron(seeds["secret of auth-o-tron"], {f"Bearer {seeds['token of otto']}": otto}) as auth_o_tron,
        Keycloak("k", Client("polytope", seeds["client_secret"]), [person]) as keycloak,
    ):
        config = keyed(seeds)
        cloak = {"type": "keycloak", "url": keycloak.url, "client_id": "polytope", "keycloak_realm": "k"}
        away = f"http://127.0.0.1:{free_port()}"
        directory = {
            "type": "ldap",
            "url": f"ldap://127.0.0.1:{free_port()}",
            "ldap_user": "cn=p,dc=x",
            "ldap_password": seeds["ldap_password"],
            "search_base": "dc=x",
            "user_filter": "(uid={username})",
        }
        dora = {"uid": "dora", "password": seeds["password of dora"]}
        config["authentication"] |= {
            "auth-o-tron": {"url": auth_o_tron.url, "secret": seeds["secret of auth-o-tron"]},
            "mail": {"authenticators": {"keys": {"type": "ecmwfapi", "url": who_am_i.url}}},
            "mail of nobody": {"authenticators": {"keys": {"type": "ecmwfapi", "url": away}}},
            "cloak": {"authenticators": {"a": {**cloak, "client_secret": seeds["client_secret"]}}},
            "tokens": {
                "authenticators": {"a": {"type": "jwt", "cert_url": f"{away}/certs", "client_id": "p"}}
            },
            "directory": {
                "authenticators": {"a": {"type": "plain", "clear_text": True, "users": [dora]}},
                "authorizers": {"a": directory},
            },
            "people": {
                "authenticators": {"a": {"type": "sql"}},
                "authorizers": {"a": {"type": "sql"}},
            },
        }
        config |= {
            "federation": {"peer": {"secret": seeds["peer secret"], "allowed-realms": ["peers"]}},
            "identity": {"sql": {"realm": "people"}},
            "staging": {"polytope": {"port": free_port(), "token": seeds["token of the object store"]}},
            "api-keys": {
                "generator": {"type": "sql", "allowed_realms": ["plain"]},
                "authenticator": {"type": "sql"},
            },
        }
        pia = basic("pia", seeds["password of pia"])["Authorization"]
        with StandaloneServer(tmp_path / "data", config, variables=plugin) as server:
            witness = Witness(server)
            right = [
                pia,
                basic("kim", seeds["password of kim"])["Authorization"],
                f"EmailKey emil@example.org:{seeds['EmailKey']}",
                f"Bearer {seeds['token of otto']}",
                f"Federation {seeds['peer secret']}:fred:peers",
            ]
            user = {"username": "paula", "password": seeds["password of paula"], "role": "default"}
            assert witness.call("POST", "/auth/users", pia, json=user).status_code == 200
            right.append(basic("paula", seeds["password of paula"])["Authorization"])
            seeds["API key"] = witness.call("POST", "/auth/keys", pia, json={}).json()["key"]
            witness.answers.pop()  # which shows the key, this once
            right.append(f"Bearer {seeds['API key']}")
            for authorization in right:
                assert witness.call("GET", "/user", authorization).status_code == 200
                witness.submit("echo", "x", authorization)
            down = basic("dora", seeds["password of dora"])["Authorization"]
            assert witness.call("GET", "/user", down).status_code == 503
            ways_of_asking(witness, seeds, pia)
            # The key of the header itself: who-am-i makes it an attribute.
            emil = right[2]
            answer = witness.end_of(witness.submit("keyed", "refuse", emil), emil)
            assert answer.json()["message"].endswith("refuses the key ***")
            wrong_calls(witness, seeds, pia)
            for service in (who_am_i, auth_o_tron, keycloak):
                service.answers = {end: (500, b"", {}) for end in ("/who-am-i", "/authenticate", "/token")}
            wrong_calls(witness, seeds, pia)
            for service in (who_am_i, auth_o_tron, keycloak):
                assert service.seen
            # What waits is sealed still; what has ended, or was revoked, is not.
            assert [collection for collection, _ in sealed_rows(server)] == ["held"]
            assert witness.call("DELETE", "/requests/all", pia).status_code == 200
            assert sealed_rows(server) == []
            listed = witness.call("GET", "/requests", pia).json()["message"]
            assert {document["collection"] for document in listed} >= {"keyed", "away", "echo"}
            witness.call("DELETE", "/auth/users", pia, json={"username": "paula"})
            shown = printed(server)
        log = server.log.read_text()
        assert '"logger": "keyed"' in log
        assert '"process": "broker"' in log
        texts = {
            "the log": log,
            "the answers": "\n".join(witness.answers),
            "config check and show": shown,
            "the data folder": folder(server.data, "config.yaml", server.log.name),
        }
        check_nothing_is_found(seeds, texts)


def test_back_ends_of_several_machines(
    seeds: Seeds,
    plugin: dict[str, str],
    printed: Tell,
    stacks: Stacks,
    tmp_path: Path,
    mongodb: MongoDB,
    redis_server: Redis,
) -> None:
    name = "mongodb-rabbitmq-s3-redis"
    config = {**keyed(seeds), "secrets": {"keys": [seeds["deployment key"], seeds["earlier deployment key"]]}}
    server = stacks.server(name, tmp_path / "data", config)
    variables = server.environment | plugin
    server.variables |= plugin
    seeds |= {key: variables[key] for key in ("S3_SECRET_KEY", "REDIS_PASSWORD", "RABBITMQ_PASSWORD")}
    pia = basic("pia", seeds["password of pia"])["Authorization"]
    with server:
        witness = Witness(server)
        ways_of_asking(witness, seeds, pia)
        wrong_calls(witness, seeds, pia)
        with mongodb.client() as client:
            stored = client["request_store"][server.config["request_store"]["mongodb"]["collection"]]
            sealed = [found["collection"] for found in stored.find({"sealed": {"$nin": ["", None]}})]
            assert sealed == ["held"]
            witness.call("DELETE", "/requests/all", pia)
            assert stored.count_documents({"sealed": {"$nin": ["", None]}}) == 0
            documents = "".join(
                str(list(client[database][name].find()))
                for database in client.list_database_names()
                if database not in ("local", "admin", "config")
                for name in client[database].list_collection_names()
            )
        with redis.Redis(redis_server.host, redis_server.port, password=redis_server.password) as cache:
            keys = list(cache.scan_iter())
            remembered = str([(key, cache.get(key)) for key in keys])
        assert "verified:" in remembered
        shown = printed(server)
    log = server.log.read_text()
    assert '"logger": "pymongo.command"' in log
    # A link that S3 has signed is the result itself, and for its user.
    answers = [text for text in witness.answers if not text.startswith("303")]
    texts = {"the log": log, "the answers": "\n".join(answers), "config check and show": shown}
    check_nothing_is_found(seeds, texts | {"MongoDB": documents, "Redis": remembered})
    signatures = {
        text.partition("X-Amz-Signature=")[2][:64] for text in witness.answers if "X-Amz-Signature" in text
    }
    assert signatures
    assert not any(signature in log for signature in signatures)


@pytest.fixture
def talkative() -> Iterator[io.StringIO]:
    """The log of this process, with the lines of libraries that back-ends keep quiet."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    hooks = sys.excepthook, threading.excepthook, logging.lastResort
    log.configure(LoggingSettings.model_validate(DEBUG), "test")
    written = io.StringIO()
    root.handlers[0].setStream(written)  # type: ignore[attr-defined]
    kept = ("pika", "boto", "urllib3")
    quiet = [logging.getLogger(name) for name in logging.root.manager.loggerDict if name.startswith(kept)]
    levels = {logger: logger.level for logger in quiet}
    for logger in quiet:
        logger.setLevel(logging.DEBUG)
    yield written
    for logger, level in levels.items():
        logger.setLevel(level)
    root.handlers[:], root.level = before
    sys.excepthook, threading.excepthook, logging.lastResort = hooks
    logging.captureWarnings(False)


def test_lines_of_libraries_that_tell_everything(
    seeds: Seeds, rabbitmq: RabbitMQ, talkative: io.StringIO
) -> None:
    """Without knowing any secret: by what credentials look like, and what is known of the configuration."""
    away = f"http://127.0.0.1:{free_port()}"
    quick = botocore.config.Config(signature_version="s3v4", retries={"total_max_attempts": 1})
    client = boto3.client(
        "s3", endpoint_url=away, region_name="x", config=quick,
        aws_access_key_id=seeds["access key"], aws_secret_access_key=seeds["secret key"],
    )  # fmt: skip
    with pytest.raises(botocore.exceptions.EndpointConnectionError):
        client.head_bucket(Bucket="b")
    link = client.generate_presigned_url("get_object", {"Bucket": "b", "Key": "k"})
    seeds["signature"] = parse_qs(urlsplit(link).query)["X-Amz-Signature"][0]
    logging.getLogger("urllib3").debug("GET %s", link)
    with redactor.knowing([rabbitmq.password, seeds["RabbitMQ password"]]):
        for password in (rabbitmq.password, seeds["RabbitMQ password"]):
            account = pika.PlainCredentials(rabbitmq.user, password)
            where = pika.ConnectionParameters(rabbitmq.host, rabbitmq.port, credentials=account)
            with contextlib.suppress(pika.exceptions.AMQPConnectionError):
                pika.BlockingConnection(where).close()
    written = talkative.getvalue()
    for logger in ("botocore.auth", "botocore.endpoint", "pika"):
        assert f'"logger": "{logger}' in written
    check_nothing_is_found(seeds, {"the log": written})


def down(seeds: Seeds, port: int) -> dict[str, Any]:
    """Back-ends at a port where no server listens."""
    postgresql = {"url": f"postgresql://u:{seeds['PostgreSQL']}@127.0.0.1:{port}/db"}
    account = {"username": "u", "password": seeds["MongoDB password"]}
    return {
        "request_store": {"mongodb": {"uri": f"mongodb://127.0.0.1:{port}/", **account}},
        "queue": {"rabbitmq": {"host": "127.0.0.1", "port": port, "password": seeds["RabbitMQ password"]}},
        "notices": {"postgresql": postgresql},
        "staging": {
            "s3": {"host": "127.0.0.1", "port": port, "access_key": "k", "secret_key": seeds["S3 secret"]}
        },
        "caching": {"redis": {"host": "127.0.0.1", "port": port, "password": seeds["Redis password"]}},
        "metric_store": {"mongodb": {"uri": f"mongodb://u:{seeds['MongoDB']}@127.0.0.1:{port}/"}},
        "identity": {"sql": postgresql | {"realm": "people"}},
    }


@pytest.fixture
def started() -> Iterator[list[StandaloneServer]]:
    servers: list[StandaloneServer] = []
    yield servers
    for server in servers:
        server.stop()


def test_back_ends_that_are_down(
    seeds: Seeds,
    plugin: dict[str, str],
    printed: Tell,
    tmp_path: Path,
    started: list[StandaloneServer],
) -> None:
    config = keyed(seeds) | down(seeds, free_port())
    server = StandaloneServer(tmp_path / "data", config, variables=plugin)
    started.append(server)
    server.start()
    witness = Witness(server)
    pia = basic("pia", seeds["password of pia"])["Authorization"]
    body = {"verb": "retrieve", "request": "x"}
    answer = witness.call("POST", "/requests/echo", pia, json=body)
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    shown = printed(server)
    server.stop()
    log = server.log.read_text()
    assert "trying again" in log
    texts = {"the log": log, "the answers": "\n".join(witness.answers), "config check and show": shown}
    check_nothing_is_found(seeds, texts)


def test_no_process_may_leave_a_core_file(server: StandaloneServer) -> None:
    """It would hold passwords and keys. Children of the worker and of gunicorn are asked, too."""
    processes = server.all_processes()
    assert len(processes) > 6
    assert {process.pid: core_limits(process.pid) for process in processes} == {
        process.pid: ["0", "0"] for process in processes
    }


def core_limits(pid: int) -> list[str]:
    """The soft and the hard limit of core files."""
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
    return next(line for line in lines if line.startswith("Max core file size")).split()[4:6]
