"""Makes room in a staging that is too large: the user who has most loses the oldest first."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from polytope_server.garbage_collector.removal import BATCH, Remover
from polytope_server.request import Status
from polytope_server.request_store import RequestStore
from polytope_server.request_store.retention import Reason, Summary, Usage
from polytope_server.settings.processes import GarbageCollectorSettings
from polytope_server.staging import Staging

#: Users among whom room is made in one pass: those who have most. The results of others do not count.
_USERS = 10_000
#: Rounds of one pass: in each, what exhausted users could not free is divided among the others.
_ROUNDS = 10
#: Bytes beside the reserve of the disk. Less is as good as none: writers stop before they touch the reserve.
_LEAST_ROOM = 16 << 20


class Room:
    """Removes results of users until the staging is below its threshold, and its disk has room."""

    def __init__(
        self, store: RequestStore, staging: Staging, remover: Remover, settings: GarbageCollectorSettings
    ) -> None:
        self._store, self._staging, self._remover, self._settings = store, staging, remover, settings
        self._was_full = False

    async def make(self, total: int) -> None:
        """Remove results of a staging that has `total` bytes, if there are too many, or its disk is full.

        Results that are young and were not downloaded go only if there is still much too much, or the disk
        is still full of results. The server sees no downloads by links of S3: there the age decides alone.
        Uploads that wait for a worker are no results, and no user loses any for them while they are young.
        """
        settings, lacking = self._settings, await self._lacking()
        if max(total - settings.threshold, lacking) < 0:
            return
        results = sum(user.size for user in await self._store.usage(_USERS))
        removed = await self._remove(max(results - settings.threshold, lacking), settings.undownloaded_age)
        much = -1 if settings.hard_threshold is None else results - settings.hard_threshold
        still_lacking = lacking if results > total // 2 else -1
        await self._remove(max(much, still_lacking) - removed, 0.0)

    async def _lacking(self) -> int:
        """How many bytes the disk lacks; less than 0 if it has room.

        One object that fills it just now, and gives way in the next moment, must cost no user a result: it
        counts as full if it is in two passes, one after the other.
        """
        room = await self._staging.room()
        lacking = -1 if room is None else _LEAST_ROOM - room
        was_full, self._was_full = self._was_full, lacking >= 0
        return lacking if was_full else -1

    async def _remove(self, excess: int, spared: float) -> int:
        """Remove more than `excess` bytes, if that is not less than 0; returns how many.

        Results that were not downloaded stay until they are `spared` seconds old.
        """
        left = excess
        users = await self._store.usage(_USERS) if excess >= 0 else []
        for _ in range(_ROUNDS):
            level = fair_level([user.size for user in users], left)
            others = []
            for user in users:
                removed, exhausted = await self._reduce(user, level, left, spared)
                left -= removed
                if left < 0:
                    return excess - left
                if not exhausted:
                    others.append(Usage(user.user_id, user.size - removed))
            # What those should have lost of whom nothing more can go, the others lose.
            users = sorted(others, key=lambda user: user.size, reverse=True)
        return excess - left

    async def _reduce(self, user: Usage, level: int, excess: int, spared: float) -> tuple[int, bool]:
        """Remove the user's oldest results until they have at most `level` bytes, or `excess` are removed.

        Returns the bytes, and whether there is nothing more to be removed of this user.
        """
        removed = 0
        while user.size - removed > level and removed <= excess:
            found = await self._store.removable(user.user_id, spared, BATCH)
            some = _oldest(found, min(user.size - removed - level, excess - removed + 1))
            gone = await self._remover.remove(some, Status.PROCESSED, Reason.SPACE)
            if not gone:
                return removed, True
            removed += sum(summary.content_length for summary in gone)
        return removed, False


def fair_level(sizes: Sequence[int], excess: int) -> int:
    """The number of bytes to which all who have more must be reduced, so that `excess` bytes are removed.

    `sizes` are in descending order; 0 if they are not enough.
    """
    for count, (size, next_size) in enumerate(pairwise([*sizes, 0]), 1):
        if (size - next_size) * count > excess:
            return size - excess // count - 1
        excess -= (size - next_size) * count
    return 0


def _oldest(found: Sequence[Summary], size: int) -> list[Summary]:
    """The first of them that have together at least `size` bytes, or all."""
    some: list[Summary] = []
    for summary in found:
        if size <= 0:
            break
        some.append(summary)
        size -= summary.content_length
    return some
