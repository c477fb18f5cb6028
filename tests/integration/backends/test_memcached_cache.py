from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pymemcache.client.base import Client

from polytope_server.caching import Cache
from polytope_server.caching.memcached import MemcachedCache, MemcachedCacheSettings
from polytope_server.testing.caching import RemoteCacheContract
from testbed.services import Memcached


def cache_on(service: Memcached, **keys: Any) -> MemcachedCache:
    given = {"host": service.host, "port": str(service.port), **keys}
    return MemcachedCache(MemcachedCacheSettings.model_validate(given), Path("unused"))


def client_of(service: Memcached) -> closing[Any]:
    return closing(Client((service.host, service.port)))


@pytest.fixture
def own(tmp_path: Path, memcached: Memcached) -> Iterator[Memcached]:
    with Memcached(tmp_path) as service:
        yield service


class TestMemcachedCache(RemoteCacheContract):
    @pytest.fixture
    async def cache(self, memcached: Memcached) -> AsyncIterator[MemcachedCache]:
        cache = cache_on(memcached)
        await cache.open()
        yield cache
        await cache.close()
        with client_of(memcached) as client:
            client.flush_all(noreply=False)

    @pytest.fixture
    def connect(self) -> Callable[[Memcached], Cache]:
        return cache_on

    @pytest.fixture
    def poison(self, memcached: Memcached) -> Callable[[str, bytes], Awaitable[None]]:
        async def poison(key: str, text: bytes) -> None:
            with client_of(memcached) as client:
                client.set(f"polytope:{key}", b"99999999999.000 " + text, noreply=False)

        return poison

    @pytest.mark.parametrize("item", [b"", b"text", b"nan 1", b"1 1"])
    async def test_what_has_no_time_to_come_is_none(
        self, cache: MemcachedCache, memcached: Memcached, item: bytes
    ) -> None:
        with client_of(memcached) as client:
            client.set("polytope:key", item, noreply=False)
        assert await cache.get("key") is None

    async def test_prefixes_are_apart(self, cache: MemcachedCache, memcached: Memcached) -> None:
        await cache.set("key", "value", 60)
        for prefix, expected in [("polytope", "value"), ("other", None)]:
            other = cache_on(memcached, prefix=prefix)
            assert await other.get("key") == expected
            await other.close()

    async def test_the_server_forgets_in_time(self, cache: MemcachedCache, memcached: Memcached) -> None:
        await cache.set("key", "value", 100)
        with client_of(memcached) as client:
            flags = client.raw_command("mg polytope:key t").split()
        assert 95 <= int(flags[1][1:]) <= 101
