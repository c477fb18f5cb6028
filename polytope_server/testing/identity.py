"""What every identity promises. Inherit, and give the fixture `identity`: open and empty."""

from __future__ import annotations

import pytest

from polytope_server.identity import Identity, InvalidUserError, UnknownUserError, UserExistsError

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
