"""An LDAP server that refuses, is down, hangs or answers nonsense, and how connections to it are kept."""

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from directory_users import ALICE, LONG, Make, Odd, assert_unavailable, our_connections, stopped

from polytope_server.authentication import AuthenticationUnavailableError
from polytope_server.authorization import NoSuchUserError
from polytope_server.authorization import ldap as module
from polytope_server.authorization.ldap import LDAPAuthorizer
from polytope_server.authorization.ldap import directory as ldap_directory
from polytope_server.testing.waiting import until
from polytope_server.user import User
from testbed.services import LDAP


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
    assert caplog.text == ""  # nothing was noticed
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
