"""A cache on Memcached."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from queue import LifoQueue
from typing import TypeVar

from pydantic import Field
from pymemcache.client.base import Client
from pymemcache.exceptions import MemcacheClientError, MemcacheUnexpectedCloseError

from polytope_server.caching.circuit_breaker import TIMEOUT
from polytope_server.caching.remote import RemoteCache, RemoteCacheSettings
from polytope_server.settings.addresses import Host
from polytope_server.settings.values import Port

T = TypeVar("T")

#: Threads, each with a connection: the driver blocks.
_THREADS = 4


class MemcachedCacheSettings(RemoteCacheSettings):
    """Keys of the cache `memcached`."""

    host: Host = Field("localhost", description="Name or address of the server.")
    port: Port = Field(11211, description="Its port.")


class MemcachedCache(RemoteCache):
    """An item a value, which begins with the time of its end, as Memcached counts in whole seconds.

    A number that is added to is an item of digits only, which Memcached ends by itself, a second or two late.
    """

    Settings = MemcachedCacheSettings

    def __init__(
        self, settings: MemcachedCacheSettings, data: Path, *, clock: Callable[[], float] = time.time
    ) -> None:
        super().__init__(settings.prefix, f"the cache memcached at {settings.host}:{settings.port}")
        self._clock = clock
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="memcached")
        # The last used first: a few calls use few connections.
        self._clients: LifoQueue[Client] = LifoQueue()
        for _ in range(_THREADS):
            address = (settings.host, settings.port)
            self._clients.put(Client(address, connect_timeout=TIMEOUT, timeout=TIMEOUT, no_delay=True))

    async def open(self) -> None:
        """Nothing to do: connections are made when they are needed."""

    async def close(self) -> None:
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)
        while not self._clients.empty():
            self._clients.get_nowait().close()

    async def read(self, name: str) -> bytes | None:
        item = await self._run_in_thread(lambda client: client.get(name))
        return None if item is None else self._live(item)

    async def write(self, name: str, text: str, seconds: float) -> None:
        item = f"{self._clock() + seconds:.3f} {text}"
        await self._run_in_thread(
            lambda client: client.set(name, item, expire=_whole(seconds), noreply=False)
        )

    async def count(self, name: str, amount: int, seconds: float) -> int:
        return await self._run_in_thread(lambda client: _count(client, name, amount, _whole(seconds)))

    async def remove(self, name: str) -> None:
        await self._run_in_thread(lambda client: client.delete(name, noreply=False))

    def _live(self, item: bytes) -> bytes | None:
        if item.strip().isdigit():
            return item
        end, _, text = item.partition(b" ")
        try:
            return text if self._clock() < float(end) else None
        except ValueError:  # not ours
            return None

    async def _run_in_thread(self, call: Callable[[Client], T]) -> T:
        # A call that waited too long for a thread is cancelled, so that no more than these ever wait.
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._called, call)

    def _called(self, call: Callable[[Client], T]) -> T:
        client = self._clients.get_nowait()  # there are as many as threads
        try:
            return call(client)
        except (ConnectionError, MemcacheUnexpectedCloseError):
            # Once more at once: the server may have restarted since the last call.
            return call(client)
        finally:
            self._clients.put(client)


def _whole(seconds: float) -> int:
    """The seconds after which Memcached is to end an item; the first of them may be over at once."""
    return math.ceil(seconds) + 1


def _count(client: Client, name: str, amount: int, seconds: int) -> int:
    change = partial(client.incr, name, amount) if amount >= 0 else partial(client.decr, name, -amount)
    try:
        total: int | None = change(noreply=False)
    except MemcacheClientError:  # what is there is no number
        client.delete(name, noreply=False)
        total = None
    if total is None:
        total = max(amount, 0)  # there are no negative ones
        if not client.add(name, str(total), expire=seconds, noreply=False):
            # Another process has begun at the same time.
            total = change(noreply=False)
    if total is None:
        raise MemcacheUnexpectedCloseError(f"{name} ends at once")
    return total
