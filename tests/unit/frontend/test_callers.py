"""Who calls: refusals that no API needs to know the reason of."""

from typing import Any

import pytest

from polytope_server.authentication import AuthenticationUnavailableError
from polytope_server.authentication.manager import Identification
from polytope_server.frontend.callers import Callers
from polytope_server.frontend.refusals import Kind, RefusedError
from polytope_server.user import User

ADMIN, USER = User("root", "site", ("admin",)), User("alice", "site", ("scientist",))


class Down:
    """An authentication that cannot verify anything now."""

    async def authenticate(self, credentials: str | None, address: str, *, fresh: bool) -> Identification:
        raise AuthenticationUnavailableError("please try again later")


def callers(authentication: Any = None) -> Callers:
    limits: Any = None
    return Callers(authentication, limits, {"site": ["admin"]})


def identified(user: User, scheme: str = "Basic") -> Identification:
    return Identification(user, scheme)


async def test_credentials_that_cannot_be_verified_now_are_neither_right_nor_wrong() -> None:
    with pytest.raises(RefusedError) as caught:
        await callers(Down()).identify("Basic x", "192.0.2.1")
    assert (caught.value.kind, caught.value.reason) == (Kind.UNAVAILABLE, "please try again later")


def test_users_are_managed_by_administrators_of_the_realm_only() -> None:
    callers().require_administrator(identified(ADMIN))
    for user in (USER, User("root", "elsewhere", ("admin",))):
        with pytest.raises(RefusedError, match="Not authorized") as caught:
            callers().require_administrator(identified(user))
        assert caught.value.kind is Kind.FORBIDDEN


def test_a_server_that_acts_for_its_users_manages_nothing() -> None:
    callers().require_user(identified(USER))
    with pytest.raises(RefusedError, match="neither users nor keys") as caught:
        callers().require_user(identified(ADMIN, "Federation"))
    assert caught.value.kind is Kind.FORBIDDEN
