"""What caches on servers have in common: names, texts, and breaker when the server is down."""

from __future__ import annotations

import hashlib
import json
import re
from abc import abstractmethod

from pydantic import BaseModel, ConfigDict, Field

from polytope_server.caching import JSON, Cache
from polytope_server.caching.circuit_breaker import CircuitBreaker

#: Bytes of a value as JSON; Memcached keeps no more than 1 MiB by default, with the name.
LARGEST = 1_000_000
#: Seconds. Memcached takes more than 30 days for a date. Losing a value earlier is allowed.
_LONGEST = 29 * 86400.0
#: Memcached takes 250 bytes, of which the prefix has 65 at most.
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_.:/@=+-]{1,150}")


class RemoteCacheSettings(BaseModel):
    """Keys of every cache on a server."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
    prefix: str = Field(
        "polytope",
        pattern=r"^[A-Za-z0-9_.:-]{1,64}$",
        description="Begins all names in the cache, so that several servers can share one.",
    )


class RemoteCache(Cache):
    """Keeps JSON texts on a server. One that is down costs a caller 0.25 s at most, and not every caller.

    A back-end says how to read, write and remove a text, and how to count. What these raise, and what takes
    longer, makes the cache empty for a second.
    """

    def __init__(self, prefix: str, server: str) -> None:
        """`server` names the server in the log, without credentials."""
        super().__init__()
        self._prefix = prefix
        self._breaker = CircuitBreaker(server)

    @abstractmethod
    async def read(self, name: str) -> str | bytes | None:
        """The text of that name, or something that is none; None if there is none, or none any more."""

    @abstractmethod
    async def write(self, name: str, text: str, seconds: float) -> None:
        """Keep a text of ASCII characters for `seconds` (more than 0)."""

    @abstractmethod
    async def count(self, name: str, amount: int, seconds: float) -> int:
        """Add to the number of that name, which begins at 0 and is then kept for `seconds`; the sum."""

    @abstractmethod
    async def remove(self, name: str) -> None:
        """Forget a name."""

    async def check(self) -> None:
        await self.read(self._name("check"))

    async def get(self, key: str) -> JSON:
        name = self._name(key)
        text = await self._breaker.ask(lambda: self.read(name))
        return None if text is None else _value(text)

    async def set(self, key: str, value: JSON, seconds: float) -> None:
        text = json.dumps(value)
        if seconds <= 0 or len(text) > LARGEST:
            # It replaces the earlier one even so.
            await self.delete(key)
            return
        name = self._name(key)
        await self._breaker.ask(lambda: self.write(name, text, min(seconds, _LONGEST)))

    async def add(self, key: str, amount: int, seconds: float) -> int | None:
        name = self._name(key)
        return await self._breaker.ask(lambda: self.count(name, amount, min(seconds, _LONGEST)))

    async def delete(self, key: str) -> None:
        name = self._name(key)
        await self._breaker.ask(lambda: self.remove(name))

    def _name(self, key: str) -> str:
        if _PLAIN_KEY.fullmatch(key):
            return f"{self._prefix}:{key}"
        # No plain key holds the `#`, so that the two kinds never meet.
        return f"{self._prefix}#{hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()}"


def _value(text: str | bytes) -> JSON:
    """The value of a text, None for what this server cannot have written."""
    if len(text) > LARGEST:
        return None
    try:
        value: JSON = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value
