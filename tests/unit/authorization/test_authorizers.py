from collections.abc import AsyncIterator
from pathlib import Path

import argon2
import pytest

from polytope_server.accounts.passwords import Passwords
from polytope_server.accounts.users.sql import SQLIdentity, SQLIdentitySettings
from polytope_server.authorization.plain import PlainAuthorizer, PlainAuthorizerSettings
from polytope_server.authorization.sql import SQLAuthorizer, SQLAuthorizerSettings
from polytope_server.testing.authorization import AuthorizerContract
from polytope_server.user import User


@pytest.fixture
def member() -> User:
    return User("alice", "r")


class TestPlain(AuthorizerContract):
    @pytest.fixture
    async def authorizer(self, tmp_path: Path) -> AsyncIterator[PlainAuthorizer]:
        keys = {
            "roles": {"admin": ["alice", "bob"], "writer": ["alice"], "reader": ["bob"]},
            "role-attributes": {
                "admin": {"quota": "10", "team": "ops"},
                "reader": {"never": "given"},
            },
            "user-attributes": {
                "[a]*e": {"quota": "20"},
                "ALICE?": {"never": "given"},
                "?lice": {"desk": "3"},
            },
        }
        authorizer = PlainAuthorizer("r", PlainAuthorizerSettings.model_validate(keys), tmp_path)
        await authorizer.open()
        yield authorizer
        await authorizer.close()

    @pytest.fixture
    def expected(self, member: User) -> User:
        return member.with_roles(["admin", "writer"], {"quota": "20", "team": "ops", "desk": "3"})

    async def test_attributes_follow_roles_that_the_user_has_already(
        self, authorizer: PlainAuthorizer
    ) -> None:
        _, attributes = await authorizer.roles(User("carol", "r", ("default", "admin")))
        assert attributes == {"quota": "10", "team": "ops"}


class TestSQL(AuthorizerContract):
    @pytest.fixture
    async def authorizer(self, tmp_path: Path) -> AsyncIterator[SQLAuthorizer]:
        authorizer = SQLAuthorizer("r", SQLAuthorizerSettings(), tmp_path)
        await authorizer.open()
        passwords = Passwords(argon2.PasswordHasher(1, 8, 1))
        for realm in ("r", "other"):
            settings = SQLIdentitySettings(url=None, realm=realm, extra_users=[])
            identity = SQLIdentity(settings, tmp_path, passwords=passwords)
            await identity.open()
            await identity.add_user("alice", "secret", ["reader", realm])
            await identity.close()
        yield authorizer
        await authorizer.close()

    @pytest.fixture
    def expected(self, member: User) -> User:
        return member.with_roles(["reader", "r"])
