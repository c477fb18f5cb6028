"""Roles from OpenLDAP: groups of groups, TLS, odd names, a server that is down, hangs or talks nonsense."""

import asyncio
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from polytope_server.authentication import AuthenticationUnavailableError
from polytope_server.authorization import Authorizer, NoSuchUserError
from polytope_server.authorization import ldap as module
from polytope_server.authorization.ldap import LDAPAuthorizer, LDAPSettings
from polytope_server.authorization.ldap import directory as ldap_directory
from polytope_server.testing.authorization import AuthorizerContract
from polytope_server.testing.waiting import until
from polytope_server.user import User
from testbed.server import StandaloneServer, basic
from testbed.services import LDAP

Make = Callable[..., Awaitable[LDAPAuthorizer]]
ALICE = User("alice", "r")
#: Matches by the distinguishedName itself: what OpenLDAP has in place of Active Directory's rule.
DISTINGUISHED_NAME_MATCH = "2.5.13.1"


@pytest.fixture
def make(ldap: LDAP, tmp_path: Path, opened: Callable[..., Any]) -> Make:
    """Makes authorizers of a service, which are open: `await make(start_tls=True)`."""

    async def make(service: LDAP = ldap, **keys: Any) -> LDAPAuthorizer:
        given = {
            "url": service.url,
            "search_base": service.people,
            "ldap_user": service.reader,
            "ldap_password": service.password,
            **keys,
        }
        settings = LDAPSettings.model_validate(
            {key: value for key, value in given.items() if value is not None}
        )
        authorizer = LDAPAuthorizer("r", settings, tmp_path)
        return await opened(authorizer)

    return make


@pytest.fixture
def own(tmp_path: Path, ldap: LDAP) -> Iterator[LDAP]:
    """A server for one test, which may stop it."""
    with LDAP(tmp_path) as service:
        yield service


class TestLDAP(AuthorizerContract):
    @pytest.fixture
    async def authorizer(self, make: Make) -> Authorizer:
        attributes = {"email": "mail", "first-name": "givenname", "missing": "telephoneNumber"}
        return await make(attributes=attributes)

    @pytest.fixture
    def member(self) -> User:
        return ALICE

    @pytest.fixture
    def expected(self) -> User:
        attributes = {"email": "alice@example.org", "first-name": "Alice"}
        return ALICE.with_roles(["staff", "forecasters"], attributes)


class TestAnonymously(AuthorizerContract):
    @pytest.fixture
    async def authorizer(self, ldap: LDAP, make: Make) -> Authorizer:
        return await make(
            search_base=ldap.public,
            group_attribute="employeeType",
            user_filter="(uid={username})",
            ldap_user=None,
            ldap_password=None,
        )

    @pytest.fixture
    def member(self) -> User:
        return User("visitor", "r")

    @pytest.fixture
    def expected(self, member: User) -> User:
        return member.with_roles(["guest", "Öffentlich, kurz"])


class TestNested(AuthorizerContract):
    @pytest.fixture
    async def authorizer(self, make: Make) -> Authorizer:
        return await make(nested_groups="follow")

    @pytest.fixture
    def member(self) -> User:
        return ALICE

    @pytest.fixture
    def expected(self) -> User:
        return ALICE.with_roles(["staff", "forecasters", "everybody"])


async def test_a_user_without_groups_has_no_roles(make: Make) -> None:
    authorizer = await make(attributes={"name": "uid"})
    assert await authorizer.roles(User("carol", "r")) == ([], {"name": "carol"})


async def test_the_filter_is_part_of_a_groups_dn(ldap: LDAP, make: Make) -> None:
    assert await (await make(filter="cn=staff,ou=groups")).roles(ALICE) == (["staff"], {})
    assert await (await make(filter="elsewhere")).roles(ALICE) == ([], {})
    # Groups that it leaves out lead to others none the less.
    authorizer = await make(filter="cn=everybody", nested_groups="follow")
    assert await authorizer.roles(ALICE) == (["everybody"], {})


HOSTILE = [
    *("*", "a*", "alice*", "*lice", "**", "(", ")", "\\", "\0", "alice\0", "\0alice"),
    *(")(uid=*", "alice)(cn=*", "*)(objectClass=*", "alice)(|(cn=alice", "x)(|(cn=alice))", "&", "|", "!"),
    *("\\61lice", "\\2a", "al\\69ce", "cn=alice", "alice,ou=people", "alice,ou=people,dc=example,dc=org"),
    *("alice+sn=Tester", '"alice"', "<alice>", "alice;", "#alice", " alice", "alice ", "al  ice", "\talice"),
    *(
        "älice",
        "alicé",
        "ａｌｉｃｅ",
        "a\u0301lice",
        "alice\u200b",
        "\ud800",
        "\ud83d",
        "🦊",
        "x" * 300,
        "x" * 100_000,
    ),
    *("{username}", "{0}", "%s", "$alice", "alice\nuid: bob", "alice\r\n"),
]


@pytest.mark.parametrize("user_filter", ["(&(objectClass=person)(cn={username}))", "(uid={username})"])
async def test_no_name_is_taken_for_a_filter(
    make: Make, user_filter: str, caplog: pytest.LogCaptureFixture
) -> None:
    authorizer = await make(user_filter=user_filter, connections=1, all_users=False)
    for name in HOSTILE:
        assert await authorizer.roles(User(name, "r")) == ([], {}), name
    # None of them found several users, as one that was part of the filter would.
    assert "more than one entry" not in caplog.text
    assert (await authorizer.roles(ALICE))[0] == ["staff", "forecasters"]


ODD = ["we(i)rd*na\\me", 'Q, "R" + <S>; T=U', "#hash", "Zoë Müller", "🦊", "\\2a", "{username}", "z" * 200]


async def test_odd_names_of_users_and_groups_are_found(ldap: LDAP, make: Make) -> None:
    authorizer = await make(nested_groups="follow")
    for name in ODD:
        ldap.add_group(f"over {name}", ldap.add_group(f"of {name}", ldap.add_user(name)))
        assert await authorizer.roles(User(name, "r")) == ([f"of {name}", f"over {name}"], {})


async def test_two_entries_for_one_name_are_nobody(
    ldap: LDAP, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(2):
        ldap.add_group(f"of twin {number}", ldap.add_user(f"twin {number}", uid="twin"))
    authorizer = await make(user_filter="(uid={username})")
    assert await authorizer.roles(User("twin", "r")) == ([], {})
    assert "more than one entry for the user 'twin'" in caplog.text
    assert [record.levelname for record in caplog.records] == ["ERROR"]


async def test_a_name_that_is_spelt_differently_is_told_to_the_operator(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    assert await (await make()).roles(User("Alice", "r")) == ([], {})
    assert "spells the user 'Alice' differently" in caplog.text


async def test_who_has_no_entry_is_no_user_of_the_realm_or_another_kind_of_user(make: Make) -> None:
    stranger = User("stranger", "r")
    with pytest.raises(NoSuchUserError):
        await (await make()).roles(stranger)
    assert await (await make(all_users=False)).roles(stranger) == ([], {})


async def test_the_attribute_compared_may_have_text_around_it(ldap: LDAP, make: Make) -> None:
    authorizer = await make(user_filter="(|(mail={username}@example.org)(telephoneNumber={username}))")
    assert (await authorizer.roles(ALICE))[0] == ["staff", "forecasters"]
    with pytest.raises(NoSuchUserError):
        await authorizer.roles(User("alice@example.org", "r"))


@pytest.mark.parametrize(
    ("path", "attributes"),
    [
        ("ldap-name", {"ldap-name": "alice"}),
        ("claims.uid", {"claims.uid": "alice", "claims": '{"uid": "bob"}'}),
        ("claims.ids.uid", {"claims": '{"ids": {"uid": "alice"}}'}),
    ],
)
async def test_the_name_can_be_in_an_attribute_of_the_user(
    make: Make, path: str, attributes: dict[str, str]
) -> None:
    authorizer = await make(**{"username-attribute": path})
    assert (await authorizer.roles(User("bob", "r", attributes=attributes)))[0] == ["staff", "forecasters"]


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"other": "alice"},
        {"claims": "alice"},
        {"claims": '["alice"]'},
        {"claims": '{"uid": 1}'},
        {"claims": '{"uid": {"uid": "alice"}}'},
        {"claims": '{"uid": ""}'},
        {"claims": "[" * 100_000},
    ],
)
async def test_without_that_attribute_the_user_is_nobody(make: Make, attributes: dict[str, str]) -> None:
    authorizer = await make(**{"username-attribute": "claims.uid"})
    assert await authorizer.roles(User("alice", "r", attributes=attributes)) == ([], {})


async def test_values_that_are_no_short_text_are_no_attributes(ldap: LDAP, make: Make) -> None:
    ldap.add_user(
        "values", description="x" * 1025, title="a\nb", jpegPhoto=b"\xff\xfe", street="Main Street 1"
    )
    attributes = {name: name for name in ("description", "title", "jpegPhoto", "street")}
    authorizer = await make(attributes=attributes)
    assert await authorizer.roles(User("values", "r")) == ([], {"street": "Main Street 1"})


class TestNestedGroups:
    """Groups of groups, for a user of each test's own."""

    @pytest.fixture
    def chain(self, ldap: LDAP, request: pytest.FixtureRequest) -> tuple[User, list[str]]:
        """A user in the innermost of five groups; the groups, innermost first."""
        name = request.node.name[:40]
        dn = ldap.add_user(name)
        groups = []
        for number in range(5):
            dn = ldap.add_group(f"{name} {number}", dn)
            groups.append(f"{name} {number}")
        return User(name, "r"), groups

    async def test_all_are_found(self, make: Make, chain: tuple[User, list[str]]) -> None:
        user, groups = chain
        assert (await (await make()).roles(user))[0] == groups[:1]
        assert (await (await make(nested_groups="follow")).roles(user))[0] == groups

    async def test_a_circle_ends(
        self, ldap: LDAP, make: Make, chain: tuple[User, list[str]], caplog: pytest.LogCaptureFixture
    ) -> None:
        user, groups = chain
        innermost, outermost = (f"cn={group},{ldap.groups}" for group in (groups[0], groups[-1]))
        ldap.add_member(innermost, outermost)
        ldap.add_member(outermost, outermost)
        assert (await (await make(nested_groups="follow")).roles(user))[0] == groups
        assert caplog.text == ""  # each was read once, not until a bound was reached

    async def test_the_depth_is_bounded(
        self,
        make: Make,
        chain: tuple[User, list[str]],
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        user, groups = chain
        authorizer = await make(nested_groups="follow")
        monkeypatch.setattr(module, "_DEEPEST", 5)
        assert (await authorizer.roles(user))[0] == groups
        assert caplog.text == ""
        monkeypatch.setattr(module, "_DEEPEST", 2)
        assert (await authorizer.roles(user))[0] == groups[:3]
        assert "nested more than 2 deep, and may lack roles" in caplog.text

    async def test_their_number_is_bounded(
        self,
        make: Make,
        chain: tuple[User, list[str]],
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        user, groups = chain
        monkeypatch.setattr(module, "_MOST_GROUPS", 3)
        assert (await (await make(nested_groups="follow")).roles(user))[0] == groups[:4]
        assert "more than 3 groups, and may lack roles" in caplog.text

    async def test_a_group_that_cannot_be_read_counts_but_leads_nowhere(self, ldap: LDAP, make: Make) -> None:
        away = [f"cn=gone,{ldap.groups}", "cn=elsewhere,dc=other", f"ou=no cn,{ldap.groups}"]
        ldap.add_user("dangling", seeAlso=away)
        authorizer = await make(nested_groups="follow", group_attribute="seeAlso")
        roles, _ = await authorizer.roles(User("dangling", "r"))
        assert sorted(roles) == ["elsewhere", "gone"]

    @pytest.fixture
    async def in_chain(self, ldap: LDAP, make: Make, monkeypatch: pytest.MonkeyPatch) -> Authorizer:
        monkeypatch.setattr(module, "_IN_CHAIN", DISTINGUISHED_NAME_MATCH)
        return await make(
            nested_groups="in-chain", group_search_base=ldap.groups, group_attribute="employeeType"
        )

    async def test_the_server_can_be_asked_for_all_of_them(self, ldap: LDAP, in_chain: Authorizer) -> None:
        name = 'chain (of) *, "x" \\ é'
        dn = ldap.add_user(name)
        for group in ("asked 1", "asked 2"):
            ldap.add_group(group, dn)
        roles, _ = await in_chain.roles(User(name, "r"))
        assert sorted(roles) == ["asked 1", "asked 2"]
        assert await in_chain.roles(User("carol", "r")) == ([], {})

    async def test_what_the_server_is_asked_for_is_bounded(
        self, in_chain: Authorizer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(module, "_MOST_GROUPS", 1)
        assert len((await in_chain.roles(ALICE))[0]) == 1
        assert "more than 1 groups, and may lack roles" in caplog.text

    async def test_active_directory_is_asked_by_its_rule(
        self, in_chain: Authorizer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.undo()
        asked = []
        search = ldap_directory.Session.search

        def listening(session: Any, base: str, text: str, *rest: Any, **keys: Any) -> Any:
            asked.append((base, text))
            return search(session, base, text, *rest, **keys)

        monkeypatch.setattr(ldap_directory.Session, "search", listening)
        await in_chain.roles(ALICE)
        dn = "cn=alice,ou=people,dc=example,dc=org"
        assert asked[1:] == [("ou=groups,dc=example,dc=org", f"(member:1.2.840.113556.1.4.1941:={dn})")]


class TestTLS:
    @pytest.fixture(params=["ldaps", "StartTLS"])
    def keys(self, request: pytest.FixtureRequest, ldap: LDAP) -> dict[str, Any]:
        return {"url": ldap.tls_url} if request.param == "ldaps" else {"start_tls": True}

    async def test_the_right_authority(self, ldap: LDAP, make: Make, keys: dict[str, Any]) -> None:
        authorizer = await make(ca_file=ldap.ca_file, **keys)
        for _ in range(2):
            assert (await authorizer.roles(ALICE))[0] == ["staff", "forecasters"]

    @pytest.mark.parametrize("ca_file", ["other_ca_file", None])
    async def test_another_authority(
        self,
        ldap: LDAP,
        make: Make,
        keys: dict[str, Any],
        ca_file: str | None,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        authorizer = await make(ca_file=ca_file and getattr(ldap, ca_file), **keys)
        await assert_unavailable(authorizer, caplog, "certificate verify failed")

    @pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")  # ldap3 tries ::1 before
    async def test_a_certificate_of_another_name(
        self, ldap: LDAP, make: Make, keys: dict[str, Any], caplog: pytest.LogCaptureFixture
    ) -> None:
        url = keys.get("url", ldap.url).replace("127.0.0.1", "localhost")
        authorizer = await make(**{**keys, "url": url, "ca_file": ldap.ca_file})
        await assert_unavailable(authorizer, caplog, "Hostname mismatch")

    async def test_checking_can_be_turned_off(self, make: Make, keys: dict[str, Any]) -> None:
        assert (await (await make(verify=False, **keys)).roles(ALICE))[0] == ["staff", "forecasters"]


async def assert_unavailable(
    authorizer: LDAPAuthorizer, caplog: pytest.LogCaptureFixture, reason: str, seconds: float = 10.0
) -> None:
    """The caller learns nothing, the operator which server of which realm fails, and why."""
    with pytest.raises(AuthenticationUnavailableError) as caught:
        await asyncio.wait_for(authorizer.roles(ALICE), seconds)
    assert caught.value.__cause__ is caught.value.__context__ is None
    assert authorizer.settings.url not in str(caught.value)
    record = caplog.records[-1]
    assert record.levelname == "ERROR"
    assert record.getMessage().startswith(f"LDAP server {authorizer.settings.url} of the realm r: ")
    assert reason in record.getMessage()


async def test_a_wrong_bind_password(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    authorizer = await make(ldap_password="wrong and secret")
    await assert_unavailable(authorizer, caplog, "the bind was refused: invalidCredentials")
    assert "wrong and secret" not in caplog.text
    assert "wrong and secret" not in repr(authorizer.settings)


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"search_base": "dc=nowhere"}, "the search below 'dc=nowhere' failed: noSuchObject"),
        ({"ldap_user": None, "ldap_password": None}, "failed: insufficientAccessRights"),
    ],
)
async def test_a_place_that_is_not_there_or_may_not_be_searched(
    make: Make, keys: dict[str, Any], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    await assert_unavailable(await make(**keys), caplog, reason)


async def test_before_it_is_open_and_after_it_was_closed(make: Make, tmp_path: Path) -> None:
    authorizer = await make()
    await authorizer.roles(ALICE)
    assert our_connections(authorizer) == 1
    await authorizer.close()
    assert our_connections(authorizer) == 0
    for unopened in (authorizer, LDAPAuthorizer("r", authorizer.settings, tmp_path)):
        with pytest.raises(AuthenticationUnavailableError):
            await unopened.roles(ALICE)


def our_connections(authorizer: LDAPAuthorizer) -> int:
    port = int(authorizer.settings.url.rpartition(":")[2])
    found = psutil.Process().net_connections()
    return sum(
        bool(each.raddr) and each.raddr.port == port and each.status == "ESTABLISHED" for each in found
    )


async def test_many_look_ups_share_few_connections(ldap: LDAP, make: Make) -> None:
    authorizer = await make(connections=3)
    before = ldap.connections()
    users = [ALICE, User("bob", "r"), User("stranger", "r")]
    for _ in range(2):
        found = await asyncio.gather(*(authorizer.roles(user) for user in users * 40), return_exceptions=True)
        assert [one[0] for one in found if isinstance(one, tuple)] == [
            ["staff", "forecasters"],
            ["staff"],
        ] * 40
        assert {type(one) for one in found[2::3]} == {NoSuchUserError}
    assert 1 <= ldap.connections() - before - 1 <= 3


async def test_a_connection_that_was_idle_for_long_is_replaced(
    ldap: LDAP, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    authorizer = await make()
    before = ldap.connections()
    monkeypatch.setattr(ldap_directory, "_IDLE_SECONDS", 0.0)
    for _ in range(3):
        await authorizer.roles(ALICE)
    assert ldap.connections() - before - 1 == 3
    assert our_connections(authorizer) == 1


@pytest.mark.parametrize("start_tls", [False, True])
async def test_a_server_that_was_restarted_is_found_again(
    own: LDAP, make: Make, start_tls: bool, caplog: pytest.LogCaptureFixture
) -> None:
    authorizer = await make(own, start_tls=start_tls, ca_file=own.ca_file, connections=2)

    async def all_of_them() -> None:
        for roles, _ in await asyncio.gather(*(authorizer.roles(ALICE) for _ in range(8))):
            assert roles == ["staff", "forecasters"]

    await all_of_them()
    own.kill()
    own.start()
    await all_of_them()
    assert caplog.text == ""  # nobody noticed
    own.kill()
    for _ in range(2):
        await assert_unavailable(authorizer, caplog, "Connection refused")
    own.start()
    await all_of_them()


async def test_a_server_that_is_down_when_we_start(
    own: LDAP, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    own.kill()
    authorizer = await make(own)
    await assert_unavailable(authorizer, caplog, "Connection refused")
    own.start()
    assert (await authorizer.roles(ALICE))[0] == ["staff", "forecasters"]


@contextmanager
def stopped(service: LDAP) -> Iterator[None]:
    os.kill(service.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(service.pid, signal.SIGCONT)


@pytest.mark.parametrize("tls", [None, "ldaps", "StartTLS"])
async def test_a_server_that_hangs_holds_nobody_up_for_long(
    own: LDAP, ldap: LDAP, make: Make, tls: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    keys = {"url": own.tls_url if tls == "ldaps" else own.url, "start_tls": tls == "StartTLS"}
    authorizer = await make(own, timeout=0.5, connections=2, ca_file=own.ca_file, **keys)
    other = await make(ldap)
    assert (await authorizer.roles(ALICE))[0] == ["staff", "forecasters"]
    with stopped(own):
        start = time.monotonic()
        waiting = [asyncio.create_task(authorizer.roles(User(f"user {number}", "r"))) for number in range(40)]
        await asyncio.sleep(0)
        # Users of other realms do not wait, and neither does the event loop.
        assert (await other.roles(ALICE))[0] == ["staff", "forecasters"]
        assert time.monotonic() - start < 0.4
        found = await asyncio.gather(*waiting, return_exceptions=True)
        # One after the other, they would take 10 s.
        assert time.monotonic() - start < 2.0
        assert {type(error) for error in found} == {AuthenticationUnavailableError}
        await assert_unavailable(authorizer, caplog, "no answer in time", 2.0)
    assert (await authorizer.roles(ALICE))[0] == ["staff", "forecasters"]


class Odd:
    """Answers the bind as it should, and what comes then with pieces of its own."""

    BOUND = bytes.fromhex("61070a010004000400")

    def __init__(self, pieces: list[bytes], pause: float = 0.0) -> None:
        self._pieces, self._pause = pieces, pause
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"ldap://127.0.0.1:{self._listening.getsockname()[1]}"
        self.ended = threading.Event()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        with self._listening, self._listening.accept()[0] as connection:
            try:
                question = connection.recv(4096)
                body = (
                    question[2 : 4 + question[3]] + self.BOUND
                )  # its number, of one byte or more, comes first
                connection.sendall(bytes([0x30, len(body)]) + body)
                connection.recv(4096)
                for piece in self._pieces:
                    connection.sendall(piece)
                    if self._done.wait(self._pause):
                        return
                connection.recv(1)
            except OSError:
                pass
            self.ended.set()

    def stop(self) -> None:
        self._done.set()
        self._thread.join()


@pytest.fixture
def odd() -> Iterator[Callable[..., Odd]]:
    made: list[Odd] = []

    def make(pieces: list[bytes], pause: float = 0.0) -> Odd:
        made.append(Odd(pieces, pause))
        return made[-1]

    yield make
    for each in made:
        each.stop()


LONG = b"\x30\x84\x7f\xff\xff\xff"


@pytest.mark.parametrize(
    ("pieces", "pause", "reason"),
    [
        ([LONG, *[b"\0" * 100_000] * 100], 0.0, "more than 1048576 bytes"),
        ([LONG, *[b"\0"] * 1000], 0.02, "no answer in time"),
        ([bytes.fromhex("3003020109")], 0.0, "an answer that is no LDAP"),
        ([b"HTTP/1.1 400 Bad Request\r\n\r\n" * 100], 0.0, ""),
        ([bytes(range(256)) * 10], 0.0, ""),
    ],
    ids=["endless", "drop by drop", "cut off", "HTTP", "noise"],
)
async def test_an_answer_without_end_or_sense_is_given_up(
    odd: Callable[..., Odd],
    make: Make,
    pieces: list[bytes],
    pause: float,
    reason: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    service = odd(pieces, pause)
    authorizer = await make(url=service.url, timeout=0.6)
    await assert_unavailable(authorizer, caplog, reason, 3.0)
    # No thread is held: the connection is closed soon.
    await until(service.ended.is_set, 3.0)


async def test_too_many_log_ins_are_refused_at_once(
    own: LDAP, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LIMIT", 4)
    authorizer = await make(own, timeout=1.0, connections=2)
    with stopped(own):
        waiting = [asyncio.create_task(authorizer.roles(ALICE)) for _ in range(4)]
        await asyncio.sleep(0)
        with pytest.raises(AuthenticationUnavailableError, match="Too many"):
            await asyncio.wait_for(authorizer.roles(ALICE), 0.5)
    found = await asyncio.gather(*waiting)
    assert [roles for roles, _ in found] == [["staff", "forecasters"]] * 4


def test_a_group_opens_a_collection(own: LDAP, tmp_path: Path) -> None:
    """A whole server: `plain` says who somebody is, the directory what they may do."""
    users = ("alice", "bob", "carol", "dave")
    keys = {
        "type": "ldap",
        "url": own.url,
        "start_tls": True,
        "ca_file": str(own.ca_file),
        "search_base": own.people,
        "ldap_user": own.reader,
        "ldap_password": "$LDAP_PASSWORD",
        "nested_groups": "follow",
        "timeout": 2,
    }
    plain = {"type": "plain", "users": [{"uid": name, "password": f"{name}'s password"} for name in users]}
    config = {
        "authentication": {
            "cache": 0,
            "r": {"authenticators": {"users": plain}, "authorizers": {"directory": keys}},
        },
        "datasources": {"echo": {"type": "echo"}},
        "collections": {
            name: {"roles": {"r": [role]}, "datasources": ["echo"]}
            for name, role in {"open": "default", "inner": "everybody", "secret": "forecasters"}.items()
        },
    }
    expected = {
        "alice": ["open", "inner", "secret"],
        "bob": ["open", "inner"],
        "carol": ["open"],
        "dave": ["open"],
    }

    def collections(server: StandaloneServer, user: str) -> requests.Response:
        return server.session(user).get(f"{server.url}/collections", timeout=30)

    with StandaloneServer(tmp_path / "data", config, variables={"LDAP_PASSWORD": own.password}) as server:
        for user, names in expected.items():
            assert collections(server, user).json()["message"] == names
        session = server.session("alice")
        request_id = server.submit(session, "secret", "what forecasters may see")
        assert server.result(session, request_id) == b"what forecasters may see"
        refused = server.session("bob").post(
            f"{server.url}/requests/secret", json={"verb": "retrieve", "request": "x"}, timeout=30
        )
        assert refused.status_code in (401, 403)
        own.kill()
        down = collections(server, "alice")
        assert down.status_code == 503
        assert int(down.headers["Retry-After"]) >= 1
        assert own.url not in down.text
        wrong = requests.get(f"{server.url}/collections", headers=basic("alice", "wrong"), timeout=30)
        assert wrong.status_code == 401
        own.start()
        assert collections(server, "alice").json()["message"] == expected["alice"]
        log = server.log.read_text()
        assert own.url in log
        assert own.password not in log
