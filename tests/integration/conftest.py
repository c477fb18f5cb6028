"""Whole servers for the integration tests, and what calls them."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, ClassVar

import pytest
from caller import Caller
from gate import Gate

from polytope_server.config import load
from testbed.launch import fork
from testbed.server import Deployment, StandaloneServer, free_port
from testbed.services import Service

CONFIGURATIONS = Path(__file__).parents[2] / "polytope-deployment" / "config"

USERS = ("alice", "bob", "carol", "dave", "erin", "frank", "root")
FEDERATION_SECRET = "shared-between-two-servers"

PLAIN = {
    "type": "plain",
    "clear_text": True,
    "users": [{"uid": name, "password": f"{name}'s password"} for name in USERS],
}
ROOT_IS_ADMIN = {"admins": {"type": "plain", "roles": {"admin": ["root"]}}}
DEFAULT = {"test": ["default"], "mail": ["default"]}

# There are hundreds of them.
StandaloneServer.launch = staticmethod(fork)


@pytest.fixture(scope="module", autouse=True)
def _unmeasured(request: pytest.FixtureRequest) -> Iterator[None]:
    """Processes under load or under fire run what others run too: measuring it takes half as long again."""
    with pytest.MonkeyPatch.context() as patch:
        if request.node.get_closest_marker("unmeasured"):
            patch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
            patch.delenv("COVERAGE_PROCESS_START", raising=False)
        yield


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
        "worker": {"concurrency": 4, "input_hosts": ["127.0.0.1"]},
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
            "strict": {
                "roles": DEFAULT,
                "datasources": ["strict", {"name": "echo", "roles": {"test": ["admin"]}}],
                "about": {"title": "Strict", "licence": "CC-BY-4.0", "examples": [{"class": "od"}]},
                "limits": {"per-role": {"test": {"default": 5}}},
            },
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
