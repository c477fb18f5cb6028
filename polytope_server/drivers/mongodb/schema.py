"""Schemas of MongoDB collections: their indexes and their version, recorded in the same database."""

from __future__ import annotations

from dataclasses import dataclass

from pymongo import IndexModel
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import DuplicateKeyError

from polytope_server.drivers.mongodb import Document, create_indexes
from polytope_server.drivers.schema_version import Stored, must_upgrade

#: The collection with the versions of all others of its database; a document has the name of one as `_id`.
VERSIONS = "schema_versions"


@dataclass(frozen=True)
class MongoDBSchema:
    """The documents of one collection; `version` and `needs` as in
    :mod:`polytope_server.drivers.schema_version`.
    """

    version: int
    indexes: tuple[IndexModel, ...] = ()
    needs: int = 1


async def prepare(collection: AsyncCollection[Document], schema: MongoDBSchema) -> None:
    """Have what the schema needs in the collection; one of a newer version stays as it is.

    Raises what the driver raises, and
    :class:`~polytope_server.drivers.schema_version.IncompatibleSchemaError`.
    """
    versions = collection.database[VERSIONS]
    document = await versions.find_one({"_id": collection.name})
    stored = None if document is None else Stored(int(document["version"]), int(document["needs"]))
    name = f"the collection {collection.full_name} of MongoDB"
    upgrade = must_upgrade(name, stored, schema)
    if stored is None or stored.version <= schema.version:
        await create_indexes(collection, schema.indexes, may_be_building=upgrade)
    if upgrade:
        own = {"version": schema.version, "needs": schema.needs}
        try:
            # In the end: a process that ends before does all of it again, which does no harm.
            await versions.update_one(
                {"_id": collection.name, "version": {"$lt": schema.version}}, {"$set": own}, upsert=True
            )
        except DuplicateKeyError:
            # Another was quicker. Should it be newer, the next one that starts says so.
            pass
