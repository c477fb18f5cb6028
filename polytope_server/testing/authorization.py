"""What every authorizer promises. Inherit, and give the fixtures below."""

from __future__ import annotations

from polytope_server.authorization import Authorizer, NoSuchUserError
from polytope_server.user import User


class AuthorizerContract:
    """The contract tests.

    Fixtures: `authorizer` (open), `member` (a user it knows) and `expected` (that user with the roles).
    """

    async def test_a_member_gets_roles(self, authorizer: Authorizer, member: User, expected: User) -> None:
        roles, attributes = await authorizer.roles(member)
        found = member.with_roles(roles, attributes)
        assert found == expected
        assert found.attributes == expected.attributes

    async def test_a_stranger_gets_nothing(self, authorizer: Authorizer) -> None:
        for name in ("stranger", "*", "", "' OR 1=1 --", "\ud800"):
            assert await _granted(authorizer, name) == ([], {})

    async def test_a_similar_name_gets_nothing(self, authorizer: Authorizer, member: User) -> None:
        for name in (member.username.upper(), member.username + " ", member.username[:-1]):
            assert await _granted(authorizer, name) == ([], {})


async def _granted(authorizer: Authorizer, name: str) -> tuple[list[str], dict[str, str]]:
    """What a user of that name gets; an authorizer may say instead that there is none."""
    try:
        return await authorizer.roles(User(name, authorizer.realm))
    except NoSuchUserError:
        return [], {}
