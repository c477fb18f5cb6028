"""What every identity promises. Inherit, and give the fixture `identity`: open and empty."""

from __future__ import annotations

import asyncio

import argon2
import pytest

from polytope_server.accounts.passwords import Passwords
from polytope_server.accounts.users import (
    Identity,
    InvalidUserError,
    UnknownUserError,
    UserExistsError,
    stored,
)
from polytope_server.accounts.users.stored import StoredIdentity
from polytope_server.authentication import AuthenticationUnavailableError
from polytope_server.testing.waiting import until

_BAD_NAMES = ["", " a", "a:b", "a\nb", "a\x00b", "x" * 129, "anonymous", "\ud800"]


class IdentityContract:
    """The contract tests."""

    async def test_a_user_logs_in_with_the_password_only(self, identity: Identity) -> None:
        await identity.add_user("alice", "secret", ["admin", "default"])
        assert await identity.verify("alice", "secret") == ["admin", "default"]
        for username, password in [
            ("alice", "Secret"),
            ("alice", ""),
            ("Alice", "secret"),
            ("bob", "secret"),
        ]:
            assert await identity.verify(username, password) is None

    async def test_users_are_listed_by_name_without_passwords(self, identity: Identity) -> None:
        await identity.add_user("bob", "secret", [])
        await identity.add_user("alice", "secret", ["a"])
        users = await identity.list_users()
        assert [(user["username"], user["roles"]) for user in users] == [("alice", ["a"]), ("bob", [])]
        assert all(set(user) == {"username", "roles", "created"} for user in users)

    async def test_many_users_are_listed_once_each(
        self, identity: Identity, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(stored, "_PAGE", 3)
        names = ["b", "a", "Z", "é", "日本", "\U0001f600", "a b", "aa", "'"]
        for name in names:
            await identity.add_user(name, "secret", [])
        assert [user["username"] for user in await identity.list_users()] == sorted(names)

    async def test_a_name_is_given_once(self, identity: Identity) -> None:
        await identity.add_user("alice", "secret", ["a"])
        with pytest.raises(UserExistsError):
            await identity.add_user("alice", "other", ["b"])
        assert await identity.verify("alice", "secret") == ["a"]

    async def test_a_removed_user_is_gone(self, identity: Identity) -> None:
        await identity.add_user("alice", "secret", ["a"])
        await identity.remove_user("alice")
        assert await identity.verify("alice", "secret") is None
        assert await identity.roles_of("alice") is None
        assert await identity.list_users() == []

    async def test_a_new_password_replaces_the_old_one(self, identity: Identity) -> None:
        await identity.add_user("alice", "old", ["a"])
        await identity.set_password("alice", "new")
        assert await identity.verify("alice", "old") is None
        assert await identity.verify("alice", "new") == ["a"]

    async def test_who_knows_the_password_changes_it(self, identity: Identity) -> None:
        await identity.add_user("alice", "old", ["a"])
        for username, current in [("alice", "wrong"), ("alice", ""), ("bob", "old"), ("\ud800", "old")]:
            assert not await identity.change_password(username, current, "new")
        assert await identity.verify("alice", "old") == ["a"]
        assert await identity.change_password("alice", "old", "new")
        assert await identity.verify("alice", "old") is None
        assert await identity.verify("alice", "new") == ["a"]

    async def test_of_many_who_change_a_password_one_succeeds(self, identity: Identity) -> None:
        await identity.add_user("alice", "old", [])
        changed = await asyncio.gather(
            *(identity.change_password("alice", "old", f"new {number}") for number in range(8))
        )
        assert changed.count(True) == 1
        assert await identity.verify("alice", f"new {changed.index(True)}") == []

    async def test_new_roles_replace_the_old_ones(self, identity: Identity) -> None:
        await identity.add_user("alice", "secret", ["a"])
        await identity.set_roles("alice", ["b", "c"])
        assert await identity.roles_of("alice") == ["b", "c"]

    @pytest.mark.parametrize("name", ["nobody", "", "' OR 1=1 --", "\ud800"])
    async def test_an_unknown_user_is_named(self, identity: Identity, name: str) -> None:
        with pytest.raises(UnknownUserError, match="no user"):
            await identity.remove_user(name)
        with pytest.raises(UnknownUserError):
            await identity.set_password(name, "secret")
        with pytest.raises(UnknownUserError):
            await identity.set_roles(name, [])
        assert await identity.roles_of(name) is None
        assert await identity.verify(name, "secret") is None

    @pytest.mark.parametrize("name", _BAD_NAMES)
    async def test_a_name_that_cannot_log_in_is_refused(self, identity: Identity, name: str) -> None:
        with pytest.raises(InvalidUserError):
            await identity.add_user(name, "secret", [])

    @pytest.mark.parametrize("password", ["", "x" * 1025, "\ud800"])
    async def test_a_password_that_cannot_be_used_is_refused(self, identity: Identity, password: str) -> None:
        with pytest.raises(InvalidUserError):
            await identity.add_user("alice", password, [])
        await identity.add_user("alice", "secret", [])
        with pytest.raises(InvalidUserError):
            await identity.set_password("alice", password)
        with pytest.raises(InvalidUserError):
            await identity.change_password("alice", "secret", password)

    @pytest.mark.parametrize("roles", [[""], ["a\nb"], ["x" * 129], ["a"] * 101, "admin"])
    async def test_roles_that_cannot_be_used_are_refused(self, identity: Identity, roles: list[str]) -> None:
        with pytest.raises(InvalidUserError):
            await identity.add_user("alice", "secret", roles)
        await identity.add_user("alice", "secret", ["a"])
        with pytest.raises(InvalidUserError):
            await identity.set_roles("alice", roles)

    async def test_names_and_passwords_may_hold_any_letter(self, identity: Identity) -> None:
        await identity.add_user("josé 日本", "pass:wörd 日", ["rôle"])
        assert await identity.verify("josé 日本", "pass:wörd 日") == ["rôle"]


#: Takes twice the work of what the tests hash with otherwise.
_STRONGER = argon2.PasswordHasher(2, 8, 1)


class _Held(Passwords):
    """Makes stronger hashes, when it is let."""

    def __init__(self) -> None:
        super().__init__(_STRONGER)
        self.go = asyncio.Event()
        self.made = 0

    async def hash(self, password: str) -> str:
        self.made += 1
        await self.go.wait()
        return await super().hash(password)


class StoredIdentityContract(IdentityContract):
    """Of an identity with a database, the same, and that hashes are renewed.

    The fixture `identity` is a :class:`StoredIdentity`, which hashes with `argon2.PasswordHasher(1, 8, 1)`.
    """

    @pytest.fixture
    async def held(self, identity: StoredIdentity, monkeypatch: pytest.MonkeyPatch) -> _Held:
        """A user `alice`, and from then on stronger hashes."""
        await identity.add_user("alice", "secret", ["a"])
        held = _Held()
        monkeypatch.setattr(identity, "_passwords", held)
        return held

    async def test_a_login_renews_a_weak_hash_and_does_not_wait_for_it(
        self, identity: StoredIdentity, held: _Held
    ) -> None:
        assert await identity.verify("alice", "wrong") is None
        assert held.made == 0
        logins = await asyncio.gather(*(identity.verify("alice", "secret") for _ in range(4)))
        assert logins == [["a"]] * 4
        await until(lambda: held.made)
        assert "t=1" in await hash_of(identity)
        held.go.set()
        await until(lambda: not identity._renewals)
        assert "t=2" in await hash_of(identity)
        assert held.made == 1
        assert await identity.verify("alice", "secret") == ["a"]
        assert held.made == 1

    async def test_a_password_that_was_set_meanwhile_stays(
        self, identity: StoredIdentity, held: _Held
    ) -> None:
        assert await identity.verify("alice", "secret") == ["a"]
        await until(lambda: held.made)
        assert await identity.replace_password("alice", _STRONGER.hash("set meanwhile"))
        held.go.set()
        await until(lambda: not identity._renewals)
        assert await identity.verify("alice", "secret") is None
        assert await identity.verify("alice", "set meanwhile") == ["a"]

    async def test_a_hash_renewed_meanwhile_does_not_keep_a_user_from_the_change(
        self, identity: StoredIdentity, held: _Held, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        held.go.set()
        replace = identity.replace_password

        async def late(username: str, new: str, old: str | None = None) -> bool:
            monkeypatch.setattr(identity, "replace_password", replace)
            assert await replace(username, _STRONGER.hash("secret"))
            return await replace(username, new, old)

        monkeypatch.setattr(identity, "replace_password", late)
        assert await identity.change_password("alice", "secret", "new")
        assert await identity.verify("alice", "new") == ["a"]

    async def test_a_stronger_hash_stays(self, identity: StoredIdentity) -> None:
        await identity.add_user("alice", "secret", ["a"])
        await identity.replace_password("alice", _STRONGER.hash("secret"))
        assert await identity.verify("alice", "secret") == ["a"]
        assert not identity._renewals

    async def test_a_hash_that_cannot_be_renewed_is_renewed_by_another_login(
        self, identity: StoredIdentity, held: _Held, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def fail(*_: object) -> bool:
            raise AuthenticationUnavailableError

        held.go.set()
        with monkeypatch.context() as patched:
            patched.setattr(identity, "replace_password", fail)
            assert await identity.verify("alice", "secret") == ["a"]
            await until(lambda: not identity._renewals)
        assert await identity.verify("alice", "secret") == ["a"]
        await until(lambda: not identity._renewals)
        assert "t=2" in await hash_of(identity)

    async def test_the_end_does_not_wait_for_a_renewal(self, identity: StoredIdentity, held: _Held) -> None:
        assert await identity.verify("alice", "secret") == ["a"]
        await until(lambda: held.made)
        await identity.end_renewals()
        assert not identity._renewals
        assert "t=1" in await hash_of(identity)


async def hash_of(identity: StoredIdentity) -> str:
    """What is kept of the password of `alice`."""
    user = await identity.find("alice")
    assert user is not None
    return user.password
