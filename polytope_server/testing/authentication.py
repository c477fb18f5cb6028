"""What every authenticator promises. Inherit, and give the fixtures below."""

from __future__ import annotations

import re

import pytest

from polytope_server.authentication import Authenticator
from polytope_server.user import User

_GARBAGE = [
    "",
    " ",
    ":",
    "::",
    "a",
    "a:b",
    "a:b:c",
    "=",
    "====",
    "%00",
    "YQ==",
    "OnB3",
    "é:ü",
    "x" * 8000,
    "a\tb",
]


class AuthenticatorContract:
    """The contract tests.

    Fixtures: `authenticator` (open), `right` (credentials that it accepts), `expected` (their user) and
    `wrong` (credentials that look right: other password, other user, ...).
    """

    async def test_right_credentials_give_the_user(
        self, authenticator: Authenticator, right: str, expected: User
    ) -> None:
        user = await authenticator.authenticate(right)
        assert user is not None
        assert (user.username, user.realm) == (expected.username, expected.realm)
        assert user.attributes == expected.attributes

    async def test_a_user_who_gets_in_is_not_denied(
        self, authenticator: Authenticator, expected: User
    ) -> None:
        assert await authenticator.knows(expected.username) is not False

    async def test_wrong_credentials_give_no_user(
        self, authenticator: Authenticator, wrong: list[str]
    ) -> None:
        for credentials in wrong:
            assert await authenticator.authenticate(credentials) is None, credentials

    @pytest.mark.parametrize("garbage", _GARBAGE)
    async def test_garbage_gives_no_user(
        self, authenticator: Authenticator, right: str, garbage: str
    ) -> None:
        if garbage != right:
            assert await authenticator.authenticate(garbage) is None

    async def test_nothing_secret_is_shown(self, authenticator: Authenticator, right: str) -> None:
        user = await authenticator.authenticate(right)
        assert user is not None
        for shown in (repr(user), str(user.to_document()), repr(authenticator.settings)):
            assert not right or right not in shown
            assert all(value not in shown for name, value in user.attributes.items() if "key" in name)

    def test_the_scheme_is_a_token(self, authenticator: Authenticator) -> None:
        assert re.fullmatch(r"[A-Za-z][A-Za-z0-9_.+-]*|", authenticator.scheme)
