"""Whole servers for the integration tests, a caller that checks what is the same for every answer, a gate."""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AsyncExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from polytope_server.config import load
from testbed.server import Deployment, StandaloneServer, basic, free_port
from testbed.services import Service

CONFIGURATIONS = Path(__file__).parents[2] / "polytope-deployment" / "config"

#: On every answer of the API (REST v1, 1.1 and 1.2).
COMMON_HEADERS = {
    "Cache-Control": "no-cache, no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-XSS-Protection": "1; mode=block",
    "Access-Control-Allow-Origin": "*",
}
USERS = ("alice", "bob", "carol", "dave", "erin", "frank", "root")
#: The account of the e-mail `KEY_EMAIL` at the who-am-i service of the gate.
KEY_EMAIL, KEY = "grace@example.org", "0123456789abcdef0123456789abcdef"
FEDERATION_SECRET = "shared-between-two-servers"

PLAIN = {"type": "plain", "users": [{"uid": name, "password": f"{name}'s password"} for name in USERS]}
ROOT_IS_ADMIN = {"admins": {"type": "plain", "roles": {"admin": ["root"]}}}
DEFAULT = {"test": ["default"], "mail": ["default"]}


class Gate:
    """A data source and a who-am-i service. A request that begins with `hold` waits for :meth:`release`."""

    def __init__(self) -> None:
        self._held: dict[str, threading.Event] = {}
        self._arrived: dict[str, threading.Event] = {}
        self._lock = threading.Lock()
        gate = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                if parts.path == "/input":
                    self._answer(200, b"data from a URL", "application/octet-stream")
                elif parse_qs(parts.query).get("token") == [KEY]:
                    self._answer(200, json.dumps({"uid": "grace", "email": KEY_EMAIL}).encode())
                else:
                    self._answer(403, b"{}")

            def do_POST(self) -> None:
                if self.headers.get("Transfer-Encoding") == "chunked":
                    body = self._chunked()
                else:
                    body = self.rfile.read(int(self.headers["Content-Length"]))
                text = body.decode("latin-1")
                if text.startswith("hold"):
                    gate._event(gate._arrived, text).set()
                    gate._event(gate._held, text).wait(120)
                if text.startswith("hold and fail"):
                    self._answer(400, json.dumps({"message": f"refused: {text}"}).encode())
                else:
                    self._answer(200, body, "application/octet-stream")

            def _chunked(self) -> bytes:
                body = b""
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return body

            def _answer(self, status: int, body: bytes, kind: str = "application/json") -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]  # revoked requests hang up
        self._thread = threading.Thread(target=self._server.serve_forever)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def _event(self, events: dict[str, threading.Event], text: str) -> threading.Event:
        with self._lock:
            return events.setdefault(text, threading.Event())

    def wait_for(self, text: str) -> None:
        """Wait until the request of this text is with the data source."""
        assert self._event(self._arrived, text).wait(60), f"{text!r} did not reach the data source"

    def release(self, text: str) -> None:
        """Let the request of this text go on."""
        self._event(self._held, text).set()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        for event in self._held.values():
            event.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Caller:
    """Calls one server as one user, and checks on each answer what all answers have in common."""

    def __init__(self, server: StandaloneServer, user: str | None = "alice", **headers: str) -> None:
        self.server = server
        self.session = requests.Session()
        self.session.trust_env = False
        if user is not None:
            self.session.headers.update(basic(user, f"{user}'s password"))
        self.session.headers.update(headers)

    def __call__(self, method: str, path: str, **options: Any) -> requests.Response:
        """Call `path` below /api/v1 (or a whole URL), without following redirects."""
        url = path if "://" in path else f"{self.server.url}{path}"
        options.setdefault("timeout", 60)
        answer = self.session.request(method, url, allow_redirects=False, **options)
        check_common(answer)
        return answer

    def twin(self) -> Caller:
        """The same caller with another connection, for use beside the first."""
        twin = Caller(self.server, None)
        twin.session.headers.update(self.session.headers)
        return twin

    def get(self, path: str, **options: Any) -> requests.Response:
        return self("GET", path, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> requests.Response:
        """POST with a JSON body; `data=` sends other bodies."""
        return self("POST", path, **(options if "data" in options else {"json": body, **options}))

    def delete(self, path: str, **options: Any) -> requests.Response:
        return self("DELETE", path, **options)

    def submit(self, collection: str, request: Any, verb: str = "retrieve", **body: Any) -> str:
        """Submit; returns the id."""
        answer = self.post(f"/requests/{collection}", {"verb": verb, "request": request, **body})
        assert answer.status_code == 202, answer.text
        return answer.headers["Location"].rpartition("/")[2]

    def poll(self, request_id: str, prefer: str = "") -> requests.Response:
        """One poll."""
        return self.get(f"/requests/{request_id}", headers={"Prefer": prefer} if prefer else {})

    def end_of(self, request_id: str) -> requests.Response:
        """Poll until the request has ended; returns that answer."""
        deadline = time.monotonic() + 60
        while (answer := self.poll(request_id)).status_code == 202:
            assert time.monotonic() < deadline, f"the request did not end: {answer.text}"
        return answer

    def status_of(self, request_id: str) -> str:
        """The state of a request in the list of requests."""
        documents = self.get("/requests").json()["message"]
        return next((document["status"] for document in documents if document["id"] == request_id), "gone")

    def link(self, collection: str, request: Any) -> str:
        """The address of the result of a request, below /api/v1."""
        answer = self.end_of(self.submit(collection, request))
        assert answer.status_code == 303, answer.text
        return answer.headers["Location"].removeprefix("..")

    def archive(self, collection: str, data: bytes, checksum: str) -> str:
        """Submit an archive request and upload its data; returns the id."""
        request_id = self.submit(collection, "some metadata", "archive")
        answer = self("POST", f"/uploads/{request_id}", data=data, headers={"X-Checksum": checksum})
        assert answer.status_code == 202, answer.text
        return request_id


def check_common(answer: requests.Response) -> None:
    """The headers of every answer, and the shape of every error."""
    for name, value in COMMON_HEADERS.items():
        assert answer.headers.get(name) == value, (answer.request.method, answer.url, name, answer.headers)
    if answer.request.method == "HEAD" or answer.status_code == 304:
        assert answer.content == b""
    elif answer.status_code >= 400:
        assert answer.headers["Content-Type"] == "application/json"
        body = answer.json()
        assert list(body) == ["message"], body
        assert isinstance(body["message"], str)
        assert body["message"]
    if answer.status_code == 401:
        assert answer.headers["WWW-Authenticate"]
        assert "expired" not in answer.text


def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Return when the condition is true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.01)


@pytest.fixture(scope="session")
def gate() -> Iterator[Gate]:
    gate = Gate()
    gate.start()
    yield gate
    gate.stop()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, gate: Gate) -> Iterator[StandaloneServer]:
    """Two realms and a trusted peer; neither identities nor API keys nor an anonymous user."""
    config = {
        # Longer than a caller waits for an answer: a hold that should not be fails the test.
        "frontend": {"poll_wait": 120},
        "worker": {"concurrency": 8, "input_hosts": ["127.0.0.1"]},
        "authentication": {
            "test": {"authenticators": {"plain": PLAIN}, "authorizers": ROOT_IS_ADMIN},
            "mail": {"authenticators": {"who-am-i": {"type": "ecmwfapi", "url": gate.url}}},
        },
        "federation": {"peer": {"secret": FEDERATION_SECRET, "allowed-realms": ["test"]}},
        "admin": {"roles": {"test": ["admin"]}},
        "datasources": {
            "echo": {"type": "echo"},
            "dummy": {"type": "dummy"},
            "raise": {"type": "raise", "error_message": "this data source always fails"},
            "gate": {"type": "http", "url": gate.url, "timeout": 120, "archive": True},
            "strict": {"type": "echo", "match": {"class": ["od", "rd"], "secretkey": []}},
        },
        "collections": {
            # In this order in the list of collections: it is not the alphabet's.
            "gate": {"roles": DEFAULT, "datasources": ["gate"]},
            "echo": {"roles": DEFAULT, "datasources": ["echo"]},
            "admins": {"roles": {"test": ["admin"]}, "datasources": ["echo"]},
            "nobody": {"datasources": ["echo"]},
            "dummy": {"roles": DEFAULT, "datasources": ["dummy"]},
            "raise": {"roles": DEFAULT, "datasources": ["raise"]},
            "strict": {"roles": DEFAULT, "datasources": ["strict"]},
            # Its requests never start.
            "held": {"roles": DEFAULT, "datasources": ["echo"], "limits": {"total": 0}},
        },
    }
    with StandaloneServer(tmp_path_factory.mktemp("server") / "data", config) as server:
        yield server


class Stacks:
    """The combinations of back-ends of `polytope-deployment/config/`, with the servers that they name."""

    SERVICES: ClassVar[dict[str, tuple[str, ...]]] = {
        "mongodb-rabbitmq-s3-redis": ("mongodb", "rabbitmq", "s3", "redis_server"),
        "postgresql-rabbitmq-objectstore-memcached": ("postgresql", "rabbitmq", "memcached"),
    }

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._request = request

    def server(
        self, name: str, data: Path, config: Mapping[str, Any], services: Mapping[str, Service] | None = None
    ) -> StandaloneServer:
        """A server on the back-ends of that combination, not yet started.

        `services` stand in for the session's own: for tests that need another kind of one.
        """
        used = self.services(name) | dict(services or {})
        own = f"tests-{secrets.token_hex(4)}"
        variables = {key: value for service in used.values() for key, value in service.variables.items()}
        variables |= {
            "OBJECT_STORE_HOST": "127.0.0.1",
            "OBJECT_STORE_PORT": str(free_port()),
            "OBJECT_STORE_TOKEN": secrets.token_hex(16),
            # Two servers that share one of these would take each other's requests and results for lost ones.
            "S3_BUCKET": own,
        }
        sections: dict[str, Any] = {"queue": {"rabbitmq": {"name": own}}}
        if "mongodb" in used:
            sections["request_store"] = {"mongodb": {"collection": own}}
        return StandaloneServer(data, {**config, **sections}, [CONFIGURATIONS / f"{name}.yaml"], variables)

    def services(self, name: str) -> dict[str, Service]:
        """The servers that this combination needs, by the names of their fixtures."""
        return {fixture: self._request.getfixturevalue(fixture) for fixture in self.SERVICES[name]}


@pytest.fixture(scope="session")
def stacks(request: pytest.FixtureRequest) -> Stacks:
    return Stacks(request)


@pytest.fixture(scope="session")
def deployment(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    """The deployment of `--config`, else a server with embedded back-ends."""
    files = request.config.getoption("--config")
    if files:
        yield Deployment(load(files))
        return
    with StandaloneServer(tmp_path_factory.mktemp("deployment") / "data") as server:
        yield Deployment(load([server.data / "config.yaml"]))


@pytest.fixture
def call(server: StandaloneServer) -> Callable[..., Caller]:
    """Makes callers of the server: `call("bob")`, `call(None, Authorization="...")`."""
    return lambda user="alice", **headers: Caller(server, user, **headers)


@pytest.fixture(scope="session")
def caller_of() -> type[Caller]:
    """For callers of other servers: `caller_of(server, "alice")`."""
    return Caller


@pytest.fixture
def alice(server: StandaloneServer) -> Caller:
    return Caller(server, "alice")


@pytest.fixture
def bob(server: StandaloneServer) -> Caller:
    return Caller(server, "bob")


@pytest.fixture
def nobody(server: StandaloneServer) -> Caller:
    """Somebody without credentials."""
    return Caller(server, None)


@pytest.fixture
def in_background() -> Iterator[Callable[..., Future[Any]]]:
    """Runs a function in a thread, which has ended when the test has."""
    with ThreadPoolExecutor(8) as pool:
        yield pool.submit


@pytest.fixture
async def opened() -> AsyncIterator[Callable[[Any], Awaitable[Any]]]:
    """Opens an authenticator or authorizer, which is closed after the test: `await opened(authenticator)`."""
    async with AsyncExitStack() as stack:

        async def open_(part: Any) -> Any:
            stack.push_async_callback(part.close)
            await part.open()
            return part

        yield open_
