"""A walk through the staging: what is there, and what of it belongs to nothing."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from polytope_server.request_store import RequestStore
from polytope_server.staging import StagedObject, Staging
from polytope_server.staging.names import request_of

#: Objects of one look into the store; and those of it at most, where one request has very many.
_BATCH, _LARGEST_BATCH = 500, 10_000
#: What one pass removes at most; the next one goes on.
_MOST = 10_000
#: Of so few objects any share may be orphans.
_FEW = 20


@dataclass
class Survey:
    """What a walk found: sums of all, and what is to be removed, as far as one pass removes it."""

    objects: int = 0
    size: int = 0
    #: Objects that are old enough and whose request is not stored.
    orphans: int = 0
    #: The requests of those, with the bytes of their objects.
    orphaned: list[tuple[str, int]] = field(default_factory=list)
    #: Objects of attempts that were overtaken.
    leftovers: list[StagedObject] = field(default_factory=list)

    def is_plausible(self, share: float) -> bool:
        """Whether the orphans are at most that share of all objects."""
        return self.objects <= _FEW or self.orphans <= share * self.objects


async def survey(staging: Staging, store: RequestStore, least_age: float) -> Survey:
    """Walk through the staging. What is younger than `least_age` seconds is counted only."""
    found = Survey()
    before = time.time() - least_age
    async for batch in _batches(staging):
        existing = await store.existing(batch)
        several = [request_id for request_id in existing if len(batch[request_id]) > 1]
        results = await store.results(several) if several else {}
        for request_id, owned in batch.items():
            found.objects += len(owned)
            found.size += sum(one.size for one in owned)
            if request_id not in existing:
                _add_orphan(found, request_id, owned, before)
            elif request_id in results:
                _add_leftovers(found, owned, results[request_id], before)
    return found


async def _batches(staging: Staging) -> AsyncIterator[dict[str, list[StagedObject]]]:
    """All objects by their request, some at a time. Those of one request follow each other."""
    batch: dict[str, list[StagedObject]] = {}
    count = 0
    async for found in staging.list():
        request_id = request_of(found.name)
        if count >= _LARGEST_BATCH or (count >= _BATCH and request_id not in batch):
            yield batch
            batch, count = {}, 0
        batch.setdefault(request_id, []).append(found)
        count += 1
    if batch:
        yield batch


def _add_orphan(found: Survey, request_id: str, owned: list[StagedObject], before: float) -> None:
    if any(one.modified > before for one in owned):
        return
    found.orphans += len(owned)
    if len(found.orphaned) < _MOST:
        found.orphaned.append((request_id, sum(one.size for one in owned)))


def _add_leftovers(found: Survey, owned: list[StagedObject], kept: str, before: float) -> None:
    """Note what attempts that were overtaken left of a request that has ended; it keeps the object `kept`."""
    left = [one for one in owned if one.name != kept and one.modified <= before]
    found.leftovers += left[: _MOST - len(found.leftovers)]
