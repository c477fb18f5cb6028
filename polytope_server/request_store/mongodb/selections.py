"""Parts of a user's requests in MongoDB: read and removed page by page, in the order of submission."""

from __future__ import annotations

from collections.abc import Sequence

from bson import ObjectId
from pymongo.asynchronous.collection import AsyncCollection

from polytope_server.drivers.mongodb import Document
from polytope_server.request_store import PAGE, PAGE_SIZE, Page, Removed, Selection
from polytope_server.request_store.mongodb import documents as d

_IN_ORDER = [("sequence", 1)]
_PLACE = {"_id": 1, "sequence": 1}
#: Whole documents at a time, which may be large.
_FEW = 16


class Selections:
    """Selections of the requests of one collection of MongoDB. Raises what the driver raises."""

    def __init__(self, requests: AsyncCollection[Document]) -> None:
        self._requests = requests

    async def page(self, selection: Selection) -> Page:
        """See :meth:`polytope_server.request_store.RequestStore.page`."""
        where, index = d.selected(selection)
        found, size = list[Document](), 0
        cursor = self._requests.find(where, sort=_IN_ORDER, hint=index, limit=PAGE, batch_size=_FEW)
        async with cursor:
            async for document in cursor:
                found.append(document)
                size += d.text_size(document)
                if size >= PAGE_SIZE:
                    break
        # A page that was cut by its size may have been the last one; then the next is empty.
        full = len(found) == PAGE or size >= PAGE_SIZE
        if full:
            found += await self._beside(where, index, found, None)
        return Page([d.to_request(document) for document in found], found[-1]["sequence"] if full else None)

    async def _beside(
        self, where: Document, index: d.Index, page: Sequence[Document], fields: Document | None
    ) -> list[Document]:
        """The others with the place of the last one of a page, which would be on none.

        Two processes give the same place if they store requests in the same microsecond.
        """
        last = page[-1]["sequence"]
        known = [document["_id"] for document in page if document["sequence"] == last]
        cursor = self._requests.find({**where, "sequence": last}, fields, hint=index)
        return [document for document in await cursor.to_list() if document["_id"] not in known]

    async def place(self, selection: Selection, newer: int) -> int | None:
        """See :meth:`polytope_server.request_store.RequestStore.place`."""
        where, index = d.selected(selection)
        fields = {"_id": 0, "sequence": 1}
        cursor = self._requests.find(where, fields, sort=[("sequence", -1)], hint=index, skip=newer, limit=1)
        found = await cursor.to_list()
        return int(found[0]["sequence"]) if found else None

    async def text_size(self, selection: Selection) -> int:
        """Bytes of the texts of the selection."""
        where, index = d.selected(selection)
        stages = [{"$match": where}, {"$group": {"_id": None, "size": {"$sum": d.TEXT_SIZE}}}]
        found = await (await self._requests.aggregate(stages, hint=dict(index))).to_list()
        return int(found[0]["size"]) if found else 0

    async def remove(self, selection: Selection) -> tuple[list[Removed], int | None]:
        """See :meth:`polytope_server.request_store.RequestStore.remove_page`.

        Each request is taken out of its state, atomically, before all are read and deleted.
        """
        where, index = d.selected(selection)
        found = await self._requests.find(where, _PLACE, sort=_IN_ORDER, hint=index, limit=PAGE).to_list()
        full = len(found) == PAGE
        if full:
            found += await self._beside(where, index, found, _PLACE)
        if not found:
            return [], None
        some = {"_id": d.some([document["_id"] for document in found])}
        removal = ObjectId()
        # By the server's clock, which ends in time what a process leaves behind that dies here.
        mark = {"removed_at": "$$NOW", "removal": removal, "removed_from": "$state"}
        marked = await self._requests.update_many(
            {**where, **some}, [{"$set": mark}, {"$unset": ["state", "sealed"]}], hint=d.BY_ID
        )
        removed = await self._marked({**some, "removal": removal}) if marked.modified_count else []
        return removed, found[-1]["sequence"] if full else None

    async def _marked(self, marked: Document) -> list[Removed]:
        """Delete what has the mark; returns what it was."""
        removed = [
            d.to_removed(found) async for found in self._requests.find(marked, d.REMOVED, hint=d.BY_ID)
        ]
        await self._requests.delete_many(marked, hint=d.BY_ID)
        return removed
