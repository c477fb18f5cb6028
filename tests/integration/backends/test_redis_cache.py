import asyncio
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import redis
from pydantic import ValidationError

from polytope_server.caching import Cache
from polytope_server.caching.redis import RedisCache, RedisCacheSettings
from polytope_server.testing.caching import RemoteCacheContract
from testbed.services import Redis
from testbed.services.service import free_port


def cache_on(service: Redis, **keys: Any) -> RedisCache:
    given = {"host": service.host, "port": str(service.port), "password": service.password, **keys}
    return RedisCache(RedisCacheSettings.model_validate(given), Path("unused"))


def client_of(service: Redis, db: int = 0) -> redis.Redis:
    return redis.Redis(service.host, service.port, db, password=service.password)


@pytest.fixture
def own(tmp_path: Path, redis_server: Redis) -> Iterator[Redis]:
    with Redis(tmp_path) as service:
        yield service


class TestRedisCache(RemoteCacheContract):
    @pytest.fixture
    async def cache(self, redis_server: Redis) -> AsyncIterator[RedisCache]:
        cache = cache_on(redis_server)
        await cache.open()
        yield cache
        await cache.close()
        with client_of(redis_server) as client:
            client.flushdb()

    @pytest.fixture
    def connect(self) -> Callable[[Redis], Cache]:
        return cache_on

    @pytest.fixture
    def poison(self, redis_server: Redis) -> Callable[[str, bytes], Awaitable[None]]:
        async def poison(key: str, text: bytes) -> None:
            with client_of(redis_server) as client:
                client.set(f"polytope:{key}", text)

        return poison

    async def test_what_is_no_string_is_none(self, cache: RedisCache, redis_server: Redis) -> None:
        with client_of(redis_server) as client:
            client.lpush("polytope:key", "a")
        assert await cache.get("key") is None
        await cache.set("key", "b", 60)
        assert await cache.get("key") == "b"

    async def test_what_is_huge_is_not_fetched(self, cache: RedisCache, redis_server: Redis) -> None:
        with client_of(redis_server) as client:
            client.setrange("polytope:key", 100_000_000, "x")
        assert await cache.get("key") is None
        assert await cache.get("another") is None
        await cache.set("key", "b", 60)
        assert await cache.get("key") == "b"

    async def test_prefixes_and_databases_are_apart(self, cache: RedisCache, redis_server: Redis) -> None:
        await cache.set("key", "value", 60)
        for keys, expected in [({}, "value"), ({"prefix": "other"}, None), ({"db": "1"}, None)]:
            other = cache_on(redis_server, **keys)
            assert await other.get("key") == expected
            await other.close()

    async def test_a_url_stands_for_the_other_keys(self, cache: RedisCache, redis_server: Redis) -> None:
        await cache.set("key", "value", 60)
        address = f"127.0.0.1:{redis_server.port}/0"
        for url in (f"redis://{address}", f"redis://:of%20the%20tests@{address}"):
            other = cache_on(redis_server, host="nowhere", port=1, url=url)
            assert await other.get("key") == "value"
            await other.close()

    async def test_a_user_of_an_access_list(self, redis_server: Redis) -> None:
        with client_of(redis_server) as client:
            client.acl_setuser(
                "alice", enabled=True, passwords=["+s3cr3t"], keys=["polytope*"], commands=["+@all"]
            )
        cache = cache_on(redis_server, username="alice", password="s3cr3t")
        await cache.set("key", "value", 60)
        assert await cache.get("key") == "value"
        await cache.close()

    async def test_a_wrong_password_is_told_without_it(
        self, redis_server: Redis, caplog: pytest.LogCaptureFixture
    ) -> None:
        cache = cache_on(redis_server, password="s3cr3t")
        assert await cache.get("key") is None
        await cache.close()
        (message,) = caplog.messages
        assert "password" in message
        assert "s3cr3t" not in message


class SafeRedis(Redis):
    """With TLS on another port."""

    def command(self) -> Sequence[str]:
        certificate, key = self.folder / "certificate.pem", self.folder / "key.pem"
        self.safe_port = free_port()
        subject = ["-subj", "/CN=tests", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
        files = ["-keyout", str(key), "-out", str(certificate)]
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *subject, *files],
            check=True, capture_output=True,
        )  # fmt: skip
        tls = [
            "--tls-port",
            str(self.safe_port),
            "--tls-auth-clients",
            "no",
            "--tls-ca-cert-file",
            str(certificate),
        ]
        return [*super().command(), *tls, "--tls-cert-file", str(certificate), "--tls-key-file", str(key)]


async def test_tls(tmp_path: Path, redis_server: Redis, caplog: pytest.LogCaptureFixture) -> None:
    with SafeRedis(tmp_path) as service:
        url = f"rediss://127.0.0.1:{service.safe_port}?ssl_ca_certs={service.folder}/certificate.pem"
        trusted = cache_on(service, url=url)
        async with asyncio.timeout(5):
            while await trusted.get("key") is None:  # the first of all may take longer than its time-out
                await trusted.set("key", "value", 60)
        await trusted.close()
        caplog.clear()
        unknown = cache_on(service, port=service.safe_port, ssl=True)
        assert await unknown.get("key") is None
        await unknown.close()
        assert "certificate" in caplog.text


@pytest.mark.parametrize("url", ["http://host", "redis://host?socket_timeout=x", "host:6379"])
def test_a_url_that_cannot_be_used_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="url"):
        RedisCacheSettings(url=url)


def test_settings_do_not_show_the_password() -> None:
    settings = RedisCacheSettings(password="s3cr3t", url="redis://:s3cr3t@host")
    assert "s3cr3t" not in repr(settings)


def test_the_keys_of_the_earlier_server() -> None:
    settings = RedisCacheSettings.model_validate({"host": "redis", "port": "6380", "db": "2"})
    assert (settings.port, settings.db) == (6380, 2)
