"""Users in MongoDB.

A document has realm and name of its user as `_id`, which makes them unique. Those of the earlier server,
which have another kind of `_id`, are neither read nor changed: what it kept as the hash of a password begins
with the password itself, in clear, so that everybody who saw the database or a copy of it knows them. Those
users have to be added again, with new passwords.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from bson.max_key import MaxKey
from pydantic import Field
from pymongo.errors import DuplicateKeyError

from polytope_server.accounts.mongodb_collection import CredentialCollection, CredentialSettings
from polytope_server.accounts.passwords import Passwords
from polytope_server.accounts.users.stored import ExtraUser, StoredIdentity, StoredUser
from polytope_server.drivers.mongodb import Document
from polytope_server.drivers.mongodb.schema import MongoDBSchema, prepare

_SCHEMA = MongoDBSchema(1)


class MongoDBUsersSettings(CredentialSettings):
    """Where the users are kept."""

    collection: str = Field("users", min_length=1, description="Name of the collection.")


class MongoDBIdentitySettings(MongoDBUsersSettings):
    """Keys of the identity `mongodb`."""

    realm: str = Field(min_length=1, description="The realm of these users.")
    extra_users: list[ExtraUser] = Field(
        default_factory=list,
        alias="extra-users",
        description="Users to add at the start if they are missing.",
    )


class MongoDBIdentity(StoredIdentity):
    """A document a user."""

    Settings = MongoDBIdentitySettings

    def __init__(
        self,
        settings: MongoDBIdentitySettings,
        data: Path,
        *,
        passwords: Passwords | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(settings.realm, settings.extra_users, passwords, clock)
        self._users = CredentialCollection(settings, settings.collection)

    @classmethod
    def of_realm(cls, realm: str, where: MongoDBUsersSettings, data: Path) -> MongoDBIdentity:
        """The identity of a realm, for the authenticator and the authorizer."""
        names = MongoDBUsersSettings.model_fields.keys() - {"host", "port"}  # `uri` has what they say
        return cls(MongoDBIdentitySettings(realm=realm, **where.model_dump(include=names)), data)

    async def open(self) -> None:
        await self._users.open(self._prepare_collection)

    async def _prepare_collection(self) -> None:
        with self._users.use() as users:
            await prepare(users, _SCHEMA)
        await self.add_extra_users()

    async def close(self) -> None:
        await self.end_renewals()
        await self._users.close()

    async def find(self, username: str) -> StoredUser | None:
        with self._users.use() as users:
            found = await users.find_one({"_id": self._document_id(username)})
        return None if found is None else _user_of_document(found)

    async def find_page(self, after: str, limit: int) -> list[StoredUser]:
        page = {"$gt": self._document_id(after), "$lt": self._document_id(MaxKey())}
        with self._users.use() as users:
            return [
                _user_of_document(found) async for found in users.find({"_id": page}).sort("_id").limit(limit)
            ]

    async def insert(self, user: StoredUser) -> bool:
        document = asdict(user)
        document["_id"] = self._document_id(document.pop("username"))
        try:
            with self._users.use() as users:
                await users.insert_one(document)
        except DuplicateKeyError:
            return False
        return True

    async def replace_password(self, username: str, new: str, old: str | None = None) -> bool:
        return await self._update_user(username, {} if old is None else {"password": old}, {"password": new})

    async def replace_roles(self, username: str, roles: Sequence[str]) -> bool:
        return await self._update_user(username, {}, {"roles": list(roles)})

    async def delete(self, username: str) -> bool:
        with self._users.use() as users:
            return (await users.delete_one({"_id": self._document_id(username)})).deleted_count == 1

    async def _update_user(self, username: str, wanted: Document, changes: Document) -> bool:
        with self._users.use() as users:
            done = await users.update_one({"_id": self._document_id(username)} | wanted, {"$set": changes})
        return done.matched_count == 1

    def _document_id(self, username: object) -> Document:
        return {"realm": self.realm, "username": username}


def _user_of_document(document: Document) -> StoredUser:
    return StoredUser(
        document["_id"]["username"], document["password"], tuple(document["roles"]), document["created"]
    )
