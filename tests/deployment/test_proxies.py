"""The configurations of nginx and Traefik, as they are written, in front of a server."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import pytest
import requests
import trustme

from testbed.server import CONFIG, StandaloneServer, free_port
from testbed.services import NotInstalledError, programs
from testbed.services.proxies import Nginx, Proxy, Traefik

FOLDER = Path(__file__).parents[2] / "polytope-deployment" / "proxies"
#: Beyond the time limits that both have by themselves, in a run that may take long.
SECONDS = 75.0 if os.environ.get("POLYTOPE_FAULTS") == "full" else 2.0
PIECE = 1 << 20
#: Headers by which a caller could pass for another one.
FORGED = {
    "X-Forwarded-For": "192.0.2.7",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Port": "666",
    "X-Forwarded-Prefix": "/evil",
    "X-Forwarded-Proto": "http",
}


def replaced(name: str, **changes: str) -> str:
    """A file as it is written, with other values in places that each site fills in itself."""
    text = (FOLDER / name).read_text()
    for old, new in changes.items():
        assert old in text, f"{name} lacks {old}"
        text = text.replace(old, new)
    return text


class Site:
    """Certificates, and the proxies of a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        authority = trustme.CA()
        issued = authority.issue_cert("localhost")
        self.trusted = str(folder / "ca.pem")
        authority.cert_pem.write_to_path(self.trusted)
        (folder / "site.crt").write_bytes(b"".join(part.bytes() for part in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(str(folder / "site.key"))

    def proxy(self, kind: str, port: int, upstream: int, *, prefix: bool) -> Proxy:
        """A proxy on `port`, with the place of `upstream`, with or without the prefix."""
        folder = self._folder / f"{kind}-{port}-{prefix}"
        common = {
            "polytope.example.org": "localhost",
            "/etc/ssl/polytope.crt": str(self._folder / "site.crt"),
            "/etc/ssl/polytope.key": str(self._folder / "site.key"),
            "127.0.0.1:5000": f"127.0.0.1:{upstream}",
        }
        if kind == "nginx":
            below = {
                "location / {": "location /weather/ {",
                "proxy_pass http://polytope;": "proxy_pass http://polytope/;",
                'X-Forwarded-Prefix "";': 'X-Forwarded-Prefix "/weather";',
            }
            changes = {**common, **(below if prefix else {}), "listen 443": f"listen 127.0.0.1:{port}"}
            files = {"conf.d/polytope.conf": replaced("nginx.conf", **changes)}
            return Nginx(folder, port, files, self.trusted)
        below = {
            "rule: Host(`localhost`)": "rule: Host(`localhost`) && PathPrefix(`/weather`)",
            "middlewares: []": "middlewares: [polytope-prefix]",
        }
        dynamic = folder / "traefik" / "polytope.yaml"
        static = {'":443"': f'"127.0.0.1:{port}"', "/etc/traefik/polytope.yaml": str(dynamic)}
        files = {
            "traefik.yaml": replaced("traefik.yaml", **static),
            "polytope.yaml": replaced("traefik-polytope.yaml", **common, **(below if prefix else {})),
        }
        return Traefik(folder, port, files, self.trusted)


@pytest.fixture(scope="module", params=["nginx", "traefik"])
def kind(request: pytest.FixtureRequest) -> str:
    """A proxy that this machine has."""
    try:
        programs.program(request.param)
    except NotInstalledError as error:
        pytest.skip(str(error))
    return str(request.param)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Certificates for all proxies of this module."""
    return Site(tmp_path_factory.mktemp("proxies"))


@pytest.fixture(scope="module")
def public() -> int:
    """The port at which the server is known."""
    return free_port()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, public: int) -> Iterator[StandaloneServer]:
    """A server that the world knows below a prefix."""
    config = {
        "frontend": {
            "public_url": f"https://localhost:{public}/weather",
            "proxy_support": True,
            "proxies": ["127.0.0.1"],
            "poll_wait": SECONDS,
        },
        "collections": {
            **CONFIG["collections"],
            # Its requests never start.
            "held": {"roles": {"test": ["default"]}, "datasources": ["echo"], "limits": {"total": 0}},
        },
    }
    with StandaloneServer(tmp_path_factory.mktemp("server") / "data", config) as server:
        yield server


@pytest.fixture(scope="module")
def session(kind: str, site: Site, public: int, server: StandaloneServer) -> Iterator[requests.Session]:
    """Alice, by way of the proxy."""
    with site.proxy(kind, public, server.port, prefix=True):
        session = server.session()
        session.verify = site.trusted
        until(lambda: session.get(f"https://localhost:{public}/weather/api/v1/test").status_code == 200)
        yield session


def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Return when the condition is true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.05)


def submit(session: requests.Session, public: int, verb: str, collection: str, request: Any) -> str:
    """Submit a request; returns the address that the answer names."""
    address = f"https://localhost:{public}/weather/api/v1/requests/{collection}"
    answer = session.post(address, json={"verb": verb, "request": request}, allow_redirects=False)
    assert answer.status_code == 202, answer.text
    return answer.headers["Location"]


def test_addresses_that_the_server_names_lead_through_the_proxy(
    session: requests.Session, public: int
) -> None:
    location = submit(session, public, "retrieve", "echo", "by proxy")
    assert location.startswith(f"https://localhost:{public}/weather/api/v1/requests/")
    answer = session.get(location, allow_redirects=False)
    assert answer.status_code == 303, answer.text
    assert session.get(answer.headers["Location"]).content == b"by proxy"


def test_a_poll_is_held(session: requests.Session, public: int) -> None:
    location = submit(session, public, "retrieve", "held", "never")
    started = time.monotonic()
    answer = session.get(location, timeout=120)
    assert answer.status_code == 202, answer.text
    assert time.monotonic() - started > SECONDS - 1


def test_a_long_upload_is_passed_on_as_it_comes(
    session: requests.Session, public: int, server: StandaloneServer
) -> None:
    location = submit(session, public, "archive", "echo", "a long upload")
    pieces = [os.urandom(PIECE) for _ in range(8)]
    arrived = 0

    def slowly() -> Iterator[bytes]:
        nonlocal arrived
        for piece in pieces:
            yield piece
            time.sleep(SECONDS / len(pieces))
        until(lambda: staged(server) > len(pieces) * PIECE // 2, 20)
        arrived = staged(server)

    checksum = hashlib.md5(b"".join(pieces)).hexdigest()
    answer = session.post(location, data=slowly(), headers={"X-Checksum": checksum})
    assert answer.status_code == 202, answer.text
    assert arrived, "nothing of it had reached the server before its end"
    end = server.poll(server.session(), location.rpartition("/")[2])
    assert end.status_code == 200, end.text


def staged(server: StandaloneServer) -> int:
    """The bytes of unfinished objects in the server's staging."""
    return sum(file.stat().st_size for file in server.data.rglob("unfinished/*") if file.is_file())


class Headers(BaseHTTPRequestHandler):
    """Keeps the headers of the last call."""

    last: ClassVar[dict[str, str]] = {}

    def do_GET(self) -> None:
        type(self).last = dict(self.headers)
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def upstream() -> Iterator[int]:
    """The port of a service that keeps the headers of calls."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Headers) as service:
        thread = Thread(target=service.serve_forever)
        thread.start()
        yield service.server_port
        service.shutdown()
        thread.join()


@pytest.mark.parametrize(("prefix", "path"), [(False, ""), (True, "/weather")])
def test_no_caller_can_forge_what_the_proxy_says(
    kind: str, site: Site, upstream: int, prefix: bool, path: str
) -> None:
    port = free_port()
    with site.proxy(kind, port, upstream, prefix=prefix), requests.Session() as caller:
        caller.trust_env = False
        caller.verify = site.trusted
        address = f"https://localhost:{port}{path}/api/v1/test"
        until(lambda: caller.get(address, headers=FORGED).status_code == 204)
    said = {name: value for name, value in Headers.last.items() if name.startswith("X-Forwarded-")}
    assert said.get("X-Forwarded-For") == "127.0.0.1"
    assert said.get("X-Forwarded-Proto") == "https"
    assert said.get("X-Forwarded-Host") == f"localhost:{port}"
    assert said.get("X-Forwarded-Port", str(port)) == str(port)
    assert said.get("X-Forwarded-Prefix", "") == path
