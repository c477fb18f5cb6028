"""A cache in the memory of one process."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

from cachetools import TLRUCache
from pydantic import BaseModel, ConfigDict, Field

from polytope_server.caching import JSON, Cache


class MemoryCacheSettings(BaseModel):
    """Keys of the cache `memory`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    max_entries: int = Field(
        10_000,
        ge=1,
        le=10_000_000,
        description="Beyond this number, the least recently used entries are lost.",
    )


class MemoryCache(Cache):
    """A bounded dictionary. Values are kept as text, so that no caller can change what others will get."""

    Settings = MemoryCacheSettings

    def __init__(
        self, settings: MemoryCacheSettings, data: Path, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self._clock = clock
        self._entries: TLRUCache[str, tuple[str, float]] = TLRUCache(
            settings.max_entries, ttu=lambda key, entry, now: entry[1], timer=clock
        )

    async def open(self) -> None:
        """Nothing to do."""

    async def close(self) -> None:
        """Forget everything."""
        self._entries.clear()

    async def get(self, key: str) -> JSON:
        entry = self._entries.get(key)
        if entry is None:
            return None
        value: JSON = json.loads(entry[0])
        return value

    async def set(self, key: str, value: JSON, seconds: float) -> None:
        # An entry that has ended already would not replace an older one.
        self._entries.pop(key, None)
        self._entries[key] = (json.dumps(value), self._clock() + seconds)

    async def add(self, key: str, amount: int, seconds: float) -> int:
        entry = self._entries.get(key)
        number = json.loads(entry[0]) if entry else None
        if entry is None or type(number) is not int:
            number, entry = 0, ("", self._clock() + seconds)
        self._entries[key] = (json.dumps(number + amount), entry[1])
        return number + amount

    async def delete(self, key: str) -> None:
        self._entries.pop(key, None)
