"""One server with every scheme of the Authorization header side by side, and the services that they need."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import random
import re
import secrets
import socket
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests
from caller import Caller
from credential_services import AuthOTron, Client, CredentialService, Keycloak, Person, WhoAmI, basic

from testbed.server import StandaloneServer

pytestmark = pytest.mark.unmeasured

SECRET = secrets.token_hex(32)
CLIENT_SECRET, PEER_SECRET = secrets.token_hex(16), secrets.token_hex(16)
KEY, TOKEN = secrets.token_hex(16), secrets.token_hex(16)
DOWN = (500, b"", {})

#: Right credentials by what checks them; the API key is made by the server.
RIGHT = {
    "plain": f"Basic {basic('pia', 'pia: pass, wörd')}",
    "keycloak": f"Basic {basic('kim', 'kims')}",
    "ecmwfapi": f"EmailKey emil@example.org:{KEY}",
    "federation": f"Federation {PEER_SECRET}:fred:site",
    "auth-o-tron": f"Plain {basic('otto', 'ottos')}",
    "auth-o-tron Basic": f"Basic {basic('otto', 'ottos')}",
    "auth-o-tron Bearer": f"Bearer {TOKEN}",
    "auth-o-tron EmailKey": f"EmailKey otto@example.org:{TOKEN}",
    "API key": "",
}
USERS = {"plain": "pia", "keycloak": "kim", "ecmwfapi": "emil", "federation": "fred", "API key": "pia"}
USERS |= {name: "otto" for name in RIGHT if name.startswith("auth-o-tron")}
REALMS = {"pia": "site", "kim": "cloak", "emil": "mail", "fred": "site", "otto": "far"}
SCHEMES = ["Basic", "Bearer", "EmailKey", "Federation", "Plain"]


@dataclass
class World:
    """The server and the services that it asks; `right` are credentials by what checks them."""

    server: StandaloneServer
    who_am_i: WhoAmI
    auth_o_tron: AuthOTron
    keycloak: Keycloak
    right: dict[str, str]

    @property
    def services(self) -> list[CredentialService]:
        return [self.who_am_i, self.auth_o_tron, self.keycloak]


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory, caller_of: type[Caller]) -> Iterator[World]:
    otto = {"username": "otto", "realm": "far", "roles": ["guest"], "attributes": {}}
    known = {f"Basic {basic('otto', 'ottos')}": otto, f"Bearer {TOKEN}": otto}
    with (
        WhoAmI({KEY: {"uid": "emil", "email": "Emil@example.org"}}) as who_am_i,
        AuthOTron(SECRET, known) as auth_o_tron,
        Keycloak("k", Client("polytope", CLIENT_SECRET), [Person("kim", "kims")]) as keycloak,
    ):
        authenticators: dict[str, dict[str, Any]] = {
            "site": {"type": "plain", "users": [{"uid": "pia", "password": "pia: pass, wörd"}]},
            "cloak": {
                "type": "keycloak",
                "url": keycloak.url,
                "client_id": "polytope",
                "client_secret": CLIENT_SECRET,
                "keycloak_realm": "k",
                "timeout": 20,
            },
            "mail": {"type": "ecmwfapi", "url": who_am_i.url},
            "guests": {"type": "anonymous"},
        }
        config = {
            "authentication": {
                "auth-o-tron": {"url": auth_o_tron.url, "secret": SECRET},
                **{realm: {"authenticators": {"a": keys}} for realm, keys in authenticators.items()},
            },
            "federation": {"peer": {"secret": PEER_SECRET, "allowed-realms": ["site"]}},
            "api-keys": {
                "generator": {"type": "sql", "allowed_realms": ["site"]},
                "authenticator": {"type": "sql"},
            },
            "collections": {
                "nobody": {"datasources": ["echo"]},
                **{
                    realm: {"roles": {realm: ["default"]}, "datasources": ["echo"]}
                    for realm in (*authenticators, "far")
                },
                "guests of far": {"roles": {"far": ["guest"]}, "datasources": ["echo"]},
            },
        }
        with StandaloneServer(tmp_path_factory.mktemp("schemes") / "data", config) as server:
            answer = caller_of(server, None, Authorization=RIGHT["plain"]).post("/auth/keys", {})
            right = {**RIGHT, "API key": f"Bearer {answer.json()['key']}"}
            yield World(server, who_am_i, auth_o_tron, keycloak, right)


@pytest.fixture
def world(started: World) -> Iterator[World]:
    yield started
    for service in started.services:
        service.answers = {}


@pytest.fixture
def ask(world: World, caller_of: type[Caller]) -> Any:
    """The answer to a call with a header. If that is right, it is 403 and names the user."""
    caller = caller_of(world.server, None)

    def ask(authorization: str | None) -> requests.Response:
        headers = {} if authorization is None else {"Authorization": authorization.encode()}
        return caller.post("/requests/nobody", {}, headers=headers)

    return ask


_number = itertools.count()


def wrong(scheme: str) -> str:
    """Credentials of a scheme that no authenticator has, and that were not tried before."""
    unknown = f"nobody{next(_number)}"
    credentials = {
        "Basic": basic(unknown, "x"),
        "Plain": basic(unknown, "x"),
        "EmailKey": f"a@example.org:{unknown}",
        "Federation": f"{unknown}:fred:site",
    }
    return f"{scheme} {credentials.get(scheme, unknown)}"


def user(answer: requests.Response) -> str:
    assert answer.status_code == 403, answer.text
    return named(answer.json()["message"])


def named(message: str) -> str:
    found = re.fullmatch(r"User (\S+) cannot access collection nobody", message)
    assert found, message
    return found[1]


@pytest.mark.parametrize("name", RIGHT)
def test_each_alone(world: World, ask: Any, name: str) -> None:
    assert user(ask(world.right[name])) == USERS[name]


@pytest.mark.parametrize("name", RIGHT)
@pytest.mark.parametrize("comma", [",", ", ", " ,  "])
@pytest.mark.parametrize("place", [0, 3, 6], ids=["first", "in the middle", "last"])
def test_the_right_one_among_wrong_ones(world: World, ask: Any, name: str, comma: str, place: int) -> None:
    parts = [wrong(scheme) for scheme in [*SCHEMES, "Unknown"]]
    parts.insert(place, world.right[name])
    assert user(ask(comma.join(parts))) == USERS[name]


@pytest.mark.parametrize("name", RIGHT)
@pytest.mark.parametrize("change", [str.lower, str.upper, str.swapcase])
def test_the_case_of_a_scheme_does_not_matter(world: World, ask: Any, name: str, change: Any) -> None:
    scheme, credentials = world.right[name].split(" ", 1)
    assert user(ask(f"{change(scheme)} {credentials}")) == USERS[name]


@pytest.mark.parametrize(("one", "other"), list(itertools.permutations(RIGHT, 2)))
def test_of_two_right_ones_the_first_counts(world: World, ask: Any, one: str, other: str) -> None:
    assert user(ask(f"{world.right[one]}, {world.right[other]}")) == USERS[one]


def test_without_credentials_a_call_is_anonymous(ask: Any) -> None:
    assert user(ask(None)) == "anonymous"
    assert user(ask("")) == "anonymous"


@pytest.mark.parametrize("name", RIGHT)
def test_the_realm_and_the_roles_are_those_of_the_user(
    world: World, caller_of: type[Caller], name: str
) -> None:
    answer = caller_of(world.server, None, Authorization=world.right[name]).get("/collections")
    realm = REALMS[USERS[name]]
    assert answer.json()["message"] == ([realm, "guests of far"] if realm == "far" else [realm])


@pytest.mark.parametrize("scheme", [*SCHEMES, "Unknown", ""])
def test_a_wrong_one_is_told_every_scheme(ask: Any, scheme: str) -> None:
    answer = ask(wrong(scheme).strip())
    assert answer.status_code == 401
    challenges = requests.utils.parse_list_header(answer.headers["WWW-Authenticate"])
    assert sorted(text.split()[0] for text in challenges if " realm=" in text) == SCHEMES


@pytest.mark.parametrize(
    ("service", "schemes"),
    [
        ("who_am_i", ["EmailKey"]),
        ("auth_o_tron", ["Basic", "Plain", "Bearer", "EmailKey"]),
        ("keycloak", ["Basic"]),
    ],
)
def test_a_service_that_is_down(world: World, ask: Any, service: str, schemes: list[str]) -> None:
    getattr(world, service).answers = {"": DOWN}
    for scheme in SCHEMES:
        answer = ask(wrong(scheme))
        assert answer.status_code == (503 if scheme in schemes else 401), scheme
        if scheme in schemes:
            assert int(answer.headers["Retry-After"]) > 0
        header = f"{wrong(scheme)}, {world.right['plain']}, {wrong(scheme)}"
        assert user(ask(header)) == USERS["plain"]


# --- 20,000 headers ----------------------------------------------------------------------------------------

COUNT, SEED = 20_000, 20260215
CONNECTIONS, AT_ONCE = 6, 20
CALL = (
    b"POST /api/v1/requests/nobody HTTP/1.1\r\nHost: x\r\n"
    b"Content-Type: application/json\r\nContent-Length: 2\r\n"
)
#: A header that is longer, or holds a control character, is not looked at; of its parts, only the first.
LONGEST, CONTROL, MOST_PARTS = 8192, "\x85", 8
ODD = [*'\t !"#$%&()*+-./:;<=>?@[]^_`{|}~', *"aZ09=", "é", "ÿ", "\xa0", CONTROL, "\u20ac", "\U0001f600"]
NAMES = [*SCHEMES, "Digest", "Negotiate", "basic", "BEARER", "emailKey", "", "-", "0", "Basic\t", "A" * 40]


@dataclass
class Generated:
    """A header, and what may come of it."""

    header: str
    right: str | None
    may_be_right: bool


class Generator:
    """Makes headers of parts that are right, nearly right, wrong or nothing at all."""

    def __init__(self, right: dict[str, str]) -> None:
        self._random = random.Random(SEED)
        self._right = right

    def header(self) -> Generated:
        chance = self._random
        names: list[str | None] = []
        parts: list[str] = []
        may_be_right = False
        for _ in range(chance.choice([1, 1, 1, 2, 3, 5, 9, 12])):
            kind = chance.random()
            name = chance.choice([*self._right])
            names.append(name if kind < 0.06 else None)
            if kind < 0.06:
                parts.append(self._right[name])
            elif kind < 0.09:
                may_be_right = True
                parts.append(self._changed(self._right[name]))
            else:
                parts.append(self._junk())
        given = zip(names, parts, strict=True)
        counted = [name for name, part in given if part.strip()][:MOST_PARTS]
        header = chance.choice([",", ", ", " , ", ",\t"]).join(parts)
        whole = len(header.encode()) <= LONGEST and CONTROL not in header
        right = next((name for name in counted if name is not None), None) if whole else None
        return Generated(header, right, may_be_right and whole)

    def _junk(self) -> str:
        chance = self._random
        length = chance.choice([0, 0, 1, 2, 3, 8, 30])
        text = "".join(chance.choice(ODD) for _ in range(length)) * chance.choice([1] * 60 + [400])
        # Without a comma, which would make two parts of it. One in three is asked of nobody: no second word.
        space = chance.choice([" ", "  ", "\t", "", "", ":"])
        return f"{chance.choice(NAMES)}{space}{text}"

    def _changed(self, part: str) -> str:
        place = self._random.randrange(len(part))
        replaced = self._random.choice(["", "", part[place] * 2, *ODD])
        return part[:place] + replaced + part[place + 1 :]


def test_headers_of_all_kinds(world: World) -> None:
    generator = Generator(world.right)
    generated = [generator.header() for _ in range(COUNT)]
    lanes = [generated[number::CONNECTIONS] for number in range(CONNECTIONS)]

    async def run() -> list[list[tuple[int, str]]]:
        return await asyncio.gather(*(_answers(world.server.port, lane) for lane in lanes))

    statuses: Counter[int] = Counter()
    for lane, answers in zip(lanes, asyncio.run(run()), strict=True):
        for given, (status, body) in zip(lane, answers, strict=True):
            what = f"{given.header!r} of seed {SEED}: {status} {body}"
            statuses[status] += 1
            assert status in (200, 401, 403, 429), what
            if given.may_be_right:
                continue
            expected = USERS[given.right] if given.right else None
            if not given.header.strip(" \t"):
                expected = "anonymous"
            assert status in ((403,) if expected else (401, 429)), what
            if expected:
                assert named(json.loads(body)["message"]) == expected, what
    # The generator makes enough of both.
    assert statuses[403] > COUNT / 20
    assert statuses[401] + statuses[429] > COUNT / 2


async def _answers(port: int, headers: list[Generated]) -> list[tuple[int, str]]:
    """Status and body of each, over one connection, some calls at once."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    found = []
    for number in range(0, len(headers), AT_ONCE):
        some = headers[number : number + AT_ONCE]
        for given in some:
            authorization = given.header.encode()
            writer.write(CALL + b"Authorization: " + authorization + b"\r\n\r\n{}")
        for _ in some:
            head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)).decode("latin-1").lower()
            length = int(head.partition("\r\ncontent-length: ")[2].partition("\r")[0])
            status = int(head.split()[1])
            assert status != 401 or "\r\nwww-authenticate: " in head
            found.append((status, (await reader.readexactly(length)).decode()))
    writer.close()
    await writer.wait_closed()
    return found


_GET = b"GET /api/v1/user HTTP/1.1\r\nHost: x\r\n"
_POST = b"POST /api/v1/requests/nobody HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"


@pytest.mark.parametrize(
    "begin",
    [b"GET /", _GET + b"Authorization: Basic ", _GET + b"Cookie: a\r\n" * 100 + b"X: ", _POST + b"X: "],
    ids=["address", "Authorization", "many", "trailer"],
)
def test_a_head_without_end_is_refused(world: World, begin: bytes) -> None:
    """It would be kept in memory, and looked at again with each piece, for every client."""
    sent, most = 0, 64 << 20  # what is in the buffers of the system counts as sent
    with socket.create_connection(("127.0.0.1", world.server.port), timeout=10) as connection:
        connection.sendall(begin)
        with contextlib.suppress(ConnectionError):
            while sent < most:
                sent += connection.send(b"x" * 65536)
    assert sent < most
    assert requests.get(f"{world.server.url}/test", timeout=10).status_code == 200


def test_a_head_that_is_too_large_is_told_so(world: World) -> None:
    with socket.create_connection(("127.0.0.1", world.server.port), timeout=10) as connection:
        connection.sendall(b"GET /api/v1/test HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = b""
        while not answer.endswith(b"}"):  # head and body may come one after the other
            answer += connection.recv(65536)
        assert answer.startswith(b"HTTP/1.1 200 ")
        # One byte too many: what a server leaves unread when it hangs up would take its last words along.
        connection.sendall(b"GET /".ljust((64 << 10) + 1, b"x"))
        assert connection.recv(65536).startswith(b"HTTP/1.1 431 ")
