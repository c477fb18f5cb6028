"""Leases in MongoDB, by the clock of the server: who leads, and until when no other process can."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pymongo import ReturnDocument
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import DuplicateKeyError

from polytope_server.drivers.mongodb import Document

_EPOCH = datetime.fromtimestamp(0, UTC).replace(tzinfo=None)
_SHORTEST_MARGIN, _LONGEST_MARGIN = 0.1, 1.0


@dataclass(frozen=True, slots=True)
class Lead:
    """A lease that `holder` has until that time of the server's clock (UTC, as the driver gives it)."""

    holder: str
    term: int
    until: datetime
    seconds: float

    @property
    def margin(self) -> float:
        """Seconds before the end of the lease from which on it counts as ended for what is done under it."""
        return min(_LONGEST_MARGIN, max(_SHORTEST_MARGIN, self.seconds / 5))

    def condition(self) -> Document:
        """A filter that finds nothing once the lease has ended, by the server's own clock.

        So a process that was held up, with a command on its way, cannot act for a lease that another has
        by now. A command takes the time when it begins. It must end within `margin`: before the lease does.
        """
        return {"$expr": {"$lt": ["$$NOW", self.until - timedelta(seconds=self.margin)]}}


class Leases:
    """Named leases, as documents of one collection. Raises what the driver raises."""

    def __init__(
        self, collection: AsyncCollection[Document], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._collection = collection
        self._clock = clock
        #: What was taken or read last here, by name, and when: a leader need not ask each time.
        self._known: dict[str, tuple[Lead, float]] = {}

    async def server_time(self) -> float:
        """The server's time, in seconds since the epoch."""
        answer = await self._collection.database.command("hello")
        return float((answer["localTime"] - _EPOCH).total_seconds())

    async def take(self, name: str, holder: str, seconds: float) -> int | None:
        """Take or renew a lease; its term, or None while another has it."""
        update, asked = _taking(holder, seconds), self._clock()
        try:
            lease = await self._update(name, update)
        except DuplicateKeyError:  # of two who took it for the first time, this was the second
            lease = await self._update(name, update)
        if lease is None or lease["holder"] != holder:
            self._known.pop(name, None)
            return None
        lead = _to_lead(lease)
        self._known[name] = lead, asked
        return lead.term

    async def _update(self, name: str, update: list[Document]) -> Document | None:
        return await self._collection.find_one_and_update(
            {"_id": name}, update, upsert=True, return_document=ReturnDocument.AFTER
        )

    async def find(self, name: str, holder: str, term: int) -> Lead | None:
        """The lease, if `holder` took it in that term and none has taken it since, as far as is known."""
        asked = self._clock()
        lead, read = self._known.get(name, (None, 0.0))
        # A holder renews it three times within its time, with another instance, maybe.
        fresh = lead is not None and asked - read < lead.seconds / 3
        if fresh and lead is not None and (lead.holder, lead.term) == (holder, term):
            return lead
        lease = await self._collection.find_one({"_id": name, "holder": holder, "term": term})
        if lease is None:
            return None
        self._known[name] = found, _ = _to_lead(lease), asked
        return found

    async def give_back(self, name: str, holder: str) -> None:
        """End a lease, if `holder` has it."""
        self._known.pop(name, None)
        await self._collection.update_one(
            {"_id": name, "holder": holder}, {"$set": {"holder": "", "until": _EPOCH}}
        )


def _taking(holder: str, seconds: float) -> list[Document]:
    """The update that gives a lease to `holder`, if it is free or theirs, by the server's clock."""
    theirs = {"$eq": ["$holder", {"$literal": holder}]}
    # Of a new lease that field is missing, which is less than any time.
    given = {"$or": [theirs, {"$lt": ["$until", "$$NOW"]}]}
    new = {
        "holder": {"$literal": holder},
        "term": {"$add": [{"$ifNull": ["$term", 0]}, {"$cond": [theirs, 0, 1]}]},
        "until": {"$add": ["$$NOW", round(seconds * 1000)]},
        "seconds": seconds,
    }
    # All expressions of one stage see the lease as it was before.
    return [{"$set": {field: {"$cond": [given, value, f"${field}"]} for field, value in new.items()}}]


def _to_lead(lease: Document) -> Lead:
    return Lead(lease["holder"], lease["term"], lease["until"], lease["seconds"])
