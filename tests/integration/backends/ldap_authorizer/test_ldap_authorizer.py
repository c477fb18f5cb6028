"""Roles from OpenLDAP: direct groups, groups of groups, TLS, and a whole server."""

from pathlib import Path
from typing import Any

import pytest
import requests
from directory_users import ALICE, DISTINGUISHED_NAME_MATCH, Make, assert_unavailable

from polytope_server.authorization import Authorizer
from polytope_server.authorization import ldap as module
from polytope_server.authorization.ldap import directory as ldap_directory
from polytope_server.testing.authorization import AuthorizerContract
from polytope_server.user import User
from testbed.server import StandaloneServer, basic
from testbed.services import LDAP


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


def test_a_group_opens_a_collection(own: LDAP, tmp_path: Path) -> None:
    """A whole server: `plain` says who a user is, the directory what the user may do."""
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
