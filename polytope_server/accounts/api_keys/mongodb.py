"""API keys in MongoDB.

A document has the SHA-256 of its key as `_id`. Those of the earlier server, which hold the key itself and
have another kind of `_id`, are neither read nor changed: those keys are not valid any more.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict
from pathlib import Path

from bson.objectid import ObjectId
from pydantic import ConfigDict, Field
from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.asynchronous.collection import AsyncCollection

from polytope_server.accounts.api_keys.stored import (
    MOST_KEYS,
    StoredAPIKeys,
    StoredAPIKeysSettings,
    StoredKey,
)
from polytope_server.accounts.mongodb_collection import CredentialCollection, CredentialSettings
from polytope_server.drivers.mongodb import Document
from polytope_server.drivers.mongodb.schema import MongoDBSchema, prepare
from polytope_server.user import User

#: The latter tells apart keys that were made in the same moment.
_OLDEST_FIRST = [("created", ASCENDING), ("sequence", ASCENDING)]
_NEWEST_FIRST = [("created", DESCENDING), ("sequence", DESCENDING)]
_SCHEMA = MongoDBSchema(
    1, (IndexModel([("realm", ASCENDING), ("username", ASCENDING), *_OLDEST_FIRST]), IndexModel("expires"))
)


class MongoDBAPIKeysSettings(StoredAPIKeysSettings, CredentialSettings):
    """Keys of `api-keys.generator` and `api-keys.authenticator` of type `mongodb`."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, hide_input_in_errors=True)
    collection: str = Field("keys", min_length=1, description="Name of the collection.")


class MongoDBAPIKeys(StoredAPIKeys):
    """A document a key."""

    Settings = MongoDBAPIKeysSettings

    def __init__(
        self, settings: MongoDBAPIKeysSettings, data: Path, *, clock: Callable[[], float] = time.time
    ) -> None:
        super().__init__(settings.allowed_realms, settings.expiry, clock)
        self._keys = CredentialCollection(settings, settings.collection)

    async def open(self) -> None:
        await self._keys.open(self._prepare_collection)

    async def _prepare_collection(self) -> None:
        with self._keys.use() as keys:
            await prepare(keys, _SCHEMA)

    async def close(self) -> None:
        await self._keys.close()

    async def insert(self, key: StoredKey) -> None:
        document = asdict(key)
        document |= {"_id": document.pop("hash"), "sequence": ObjectId()}
        with self._keys.use() as keys:
            await keys.delete_many({"expires": {"$lte": key.created}})
            await keys.insert_one(document)
            # Two who insert at a time remove the same ones.
            await _trim_keys(keys, {"realm": key.realm, "username": key.username})

    async def find(self, digest: bytes, now: float) -> StoredKey | None:
        with self._keys.use() as keys:
            found = await keys.find_one({"_id": digest, "expires": {"$gt": now}})
        return None if found is None else _key_of_document(found)

    async def find_all(self, user: User, now: float) -> list[StoredKey]:
        wanted = _owner_filter(user) | {"expires": {"$gt": now}}
        with self._keys.use() as keys:
            return [_key_of_document(found) async for found in keys.find(wanted).sort(_OLDEST_FIRST)]

    async def find_realm(self, realm: str, now: float) -> AsyncIterator[StoredKey]:
        wanted = {"realm": realm, "expires": {"$gt": now}}
        with self._keys.use() as keys:
            async for found in keys.find(wanted).sort([("username", ASCENDING), *_OLDEST_FIRST]):
                yield _key_of_document(found)

    async def note_use(self, digest: bytes, now: float) -> None:
        with self._keys.use() as keys:
            await keys.update_one({"_id": digest}, {"$max": {"last_used": now}})

    async def delete(self, user: User, prefix: str | None) -> int:
        wanted = _owner_filter(user) | ({} if prefix is None else {"prefix": prefix})
        with self._keys.use() as keys:
            return (await keys.delete_many(wanted)).deleted_count

    async def delete_realm(self, realm: str) -> int:
        with self._keys.use() as keys:
            return (await keys.delete_many({"realm": realm})).deleted_count


async def _trim_keys(keys: AsyncCollection[Document], owned: Document) -> None:
    surplus = keys.find(owned, {"_id": 1}).sort(_NEWEST_FIRST).skip(MOST_KEYS)
    if found := [document["_id"] async for document in surplus]:
        await keys.delete_many({"_id": {"$in": found}})


def _owner_filter(user: User) -> Document:
    return {"realm": user.realm, "username": user.username}


def _key_of_document(document: Document) -> StoredKey:
    return StoredKey(
        hash=document["_id"],
        prefix=document["prefix"],
        username=document["username"],
        realm=document["realm"],
        created=document["created"],
        expires=document["expires"],
        last_used=document["last_used"],
    )
