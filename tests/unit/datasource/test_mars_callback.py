"""Where MARS calls the client back, with a server of this process in place of Kubernetes."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme

from polytope_server.datasource import TemporaryError
from polytope_server.datasource.mars.callback import PRESET, Kubernetes, callback


class Handler(BaseHTTPRequestHandler):
    server: Cluster

    def do_GET(self) -> None:
        self.server.seen.append((self.path, self.headers["Authorization"]))
        self.send_response(self.server.status)
        self.send_header("Location", "https://elsewhere.example.org/")
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, *arguments: Any) -> None:
        pass


class Cluster(ThreadingHTTPServer):
    """Answers as the API of Kubernetes does for a Service."""

    status = 200
    body = json.dumps(
        {"spec": {"ports": [{"port": 40_001 + n, "nodePort": 31_001 + n} for n in range(3)]}}
    ).encode()

    def __init__(self, account: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[tuple[str, str]] = []
        authority = trustme.CA()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        authority.cert_pem.write_to_path(str(account / "ca.crt"))
        (account / "token").write_text("the token\n")
        self.variables = {
            "KUBERNETES_SERVICE_HOST": "127.0.0.1",
            "KUBERNETES_SERVICE_PORT": str(self.server_port),
            "K8S_NODE_NAME": "node-1.example.org",
            "K8S_POD_NAME": "worker-0",
            "K8S_NAMESPACE": "polytope",
        }


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path) as cluster:
        thread = threading.Thread(target=cluster.serve_forever, args=(0.01,))
        thread.start()
        yield cluster
        cluster.shutdown()
        thread.join()


@pytest.fixture
def kubernetes(tmp_path: Path) -> Kubernetes:
    return Kubernetes(tmp_path, tmp_path / "last_mars_port")


def local_port(variables: dict[str, str]) -> int:
    return int(variables["MARS_DHS_LOCALPORT"])


def test_the_service_with_the_name_of_the_pod_says_where(cluster: Cluster, kubernetes: Kubernetes) -> None:
    with callback(cluster.variables, kubernetes) as (found, held):
        assert found == {
            "MARS_ENVIRON_ORIGIN": "polytope",
            "MARS_DHS_CALLBACK_HOST": "node-1.example.org",
            "MARS_DHS_CALLBACK_PORT": "31002",
            "MARS_DHS_LOCALHOST": "worker-0",
            "MARS_DHS_LOCALPORT": "40002",
        }
        assert len(held) == 1
    assert cluster.seen == [("/api/v1/namespaces/polytope/services/worker-0", "Bearer the token")]


def test_ports_are_taken_in_turn_and_the_file_says_which_was_last(
    cluster: Cluster, kubernetes: Kubernetes
) -> None:
    taken = []
    for _ in range(4):
        with callback(cluster.variables, kubernetes) as (found, _held):
            taken.append(local_port(found))
    assert taken == [40_002, 40_003, 40_001, 40_002]
    assert kubernetes.port_file.read_text() == "1"


def test_a_port_is_taken_once_at_a_time(cluster: Cluster, kubernetes: Kubernetes) -> None:
    def take() -> Any:
        return callback(cluster.variables, kubernetes)

    with take() as (first, _), take() as (second, _), take() as (third, _):
        assert {*map(local_port, (first, second, third))} == {40_001, 40_002, 40_003}
        with pytest.raises(TemporaryError, match="cannot be used at the moment"), take():
            pass
    with take():
        pass


@pytest.mark.parametrize("content", ["", "no number", "99"])
def test_any_content_of_the_file_will_do(cluster: Cluster, kubernetes: Kubernetes, content: str) -> None:
    kubernetes.port_file.write_text(content)
    with callback(cluster.variables, kubernetes) as (found, _):
        assert 40_001 <= local_port(found) <= 40_003
    assert kubernetes.port_file.read_text() in ("0", "1", "2")


def test_without_a_place_for_the_file_ports_begin_anywhere(cluster: Cluster, tmp_path: Path) -> None:
    with callback(cluster.variables, Kubernetes(tmp_path, tmp_path / "no" / "file")) as (found, _):
        assert 40_001 <= local_port(found) <= 40_003


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, b"{}"),
        (302, b"{}"),
        (200, b"no JSON"),
        (200, b"[]"),
        (200, b'{"spec": {}}'),
        (200, b'{"spec": {"ports": []}}'),
        (200, b'{"spec": {"ports": [{"port": 1}]}}'),
        (200, b" " * (2 << 20)),
    ],
)
def test_an_answer_that_says_nothing_is_a_trouble_for_now(
    cluster: Cluster, kubernetes: Kubernetes, status: int, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    cluster.status, cluster.body = status, body
    with (
        pytest.raises(TemporaryError, match=r"^MARS cannot be used"),
        callback(cluster.variables, kubernetes),
    ):
        pass
    assert "the Service polytope/services/worker-0" in caplog.text
    assert len(cluster.seen) == 1


def test_a_cluster_that_another_authority_vouches_for_gets_no_token(
    cluster: Cluster, kubernetes: Kubernetes
) -> None:
    trustme.CA().cert_pem.write_to_path(str(kubernetes.account / "ca.crt"))
    with pytest.raises(TemporaryError), callback(cluster.variables, kubernetes):
        pass
    assert cluster.seen == []


@pytest.mark.parametrize("variables", [{}, dict.fromkeys(PRESET, "x"), {"KUBERNETES_SERVICE_HOST": "h"}])
def test_nothing_is_looked_up_where_it_is_set_or_outside_of_a_pod(variables: dict[str, str]) -> None:
    with callback(variables) as found:
        assert found == ({}, [])
