"""A cache on Redis, or on what speaks its protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, field_validator
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ResponseError

from polytope_server.caching.circuit_breaker import TIMEOUT
from polytope_server.caching.remote import LARGEST, RemoteCache, RemoteCacheSettings
from polytope_server.settings.addresses import Host, is_server, server_in
from polytope_server.settings.values import Port

#: The most questions at a time; others wait.
_CONNECTIONS = 16
_EXPECTED = "expected redis://HOST:PORT/DB or rediss://HOST:PORT/DB"


class RedisCacheSettings(RemoteCacheSettings):
    """Keys of the cache `redis`."""

    host: Host = Field("localhost", description="Name or address of the server.")
    port: Port = Field(6379, description="Its port.")
    db: int = Field(0, ge=0, description="Number of the database.")
    username: str | None = Field(None, description="User name, for servers with access lists.")
    password: str | None = Field(None, repr=False, description="Password.")
    ssl: bool = Field(False, description="Whether to use TLS; the certificate of the server must be valid.")
    url: str | None = Field(
        None,
        repr=False,
        description="`redis://HOST:PORT/DB`, or `rediss://...` for TLS: instead of `host`, `port`, `db` and "
        "`ssl`. `?ssl_ca_certs=FILE` names the authorities to trust.",
    )

    @field_validator("url")
    @classmethod
    def _readable(cls, url: str | None) -> str | None:
        if url and not url.startswith(("redis://", "rediss://")):
            raise ValueError(_EXPECTED)
        # Without what the driver has a default for.
        server = server_in(url or "").rpartition("@")[2]
        if server and not is_server(server):
            raise ValueError(_EXPECTED)
        parse_url(url or "redis://")
        return url


class RedisCache(RemoteCache):
    """A string a value, which Redis ends by itself."""

    Settings = RedisCacheSettings

    def __init__(self, settings: RedisCacheSettings, data: Path) -> None:
        options = _options(settings)
        super().__init__(settings.prefix, f"the cache redis at {options['host']}:{options['port']}")
        self._pool = BlockingConnectionPool(_CONNECTIONS, TIMEOUT, **options)
        self._client = Redis(connection_pool=self._pool)

    async def open(self) -> None:
        """Nothing to do: connections are made when they are needed."""

    async def close(self) -> None:
        await self._pool.disconnect()

    async def read(self, name: str) -> str | bytes | None:
        try:
            # Not GET: what another program put there may be of any size.
            text = await self._client.getrange(name, 0, LARGEST)
        except ResponseError as error:
            if str(error).startswith("WRONGTYPE"):  # not a string, so not ours
                return None
            raise
        return text or None

    async def write(self, name: str, text: str, seconds: float) -> None:
        await self._client.set(name, text, px=max(round(seconds * 1000), 1))

    async def count(self, name: str, amount: int, seconds: float) -> int:
        kept = max(round(seconds * 1000), 1)
        try:
            async with self._client.pipeline() as transaction:
                # With the time in the first of the two, no number is left without one.
                transaction.set(name, 0, px=kept, nx=True)
                transaction.incrby(name, amount)
                total: int = (await transaction.execute())[1]
        except ResponseError:  # what is there is no number
            await self._client.set(name, amount, px=kept)
            return amount
        return total

    async def remove(self, name: str) -> None:
        await self._client.delete(name)


def _options(settings: RedisCacheSettings) -> dict[str, Any]:
    given = {"host": settings.host, "port": settings.port, "db": settings.db}
    given |= {"username": settings.username or None, "password": settings.password or None}
    return {
        **given,
        **parse_url(settings.url or ("rediss://" if settings.ssl else "redis://")),
        "socket_timeout": TIMEOUT,
        "socket_connect_timeout": TIMEOUT,
        # Once more at once: the server may have restarted since the last question.
        "retry": Retry(NoBackoff(), 1),
        # The newer one costs a round trip more for each connection, and brings nothing here.
        "protocol": 2,
    }
