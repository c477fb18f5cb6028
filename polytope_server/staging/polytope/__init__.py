"""Staging in the basic object store: the process `polytope-server object-store`, over HTTP."""

from __future__ import annotations

import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, field_validator
from yarl import URL

from polytope_server.settings.addresses import BindAddress, Host, HTTPBase
from polytope_server.settings.management import ManagementSettings
from polytope_server.settings.section import part
from polytope_server.settings.values import Port, Size
from polytope_server.staging import ObjectNotFoundError, StagedObject, Staging, StagingUnavailableError
from polytope_server.staging.names import is_object_name, is_request_id
from polytope_server.staging.polytope.http import IDLE, Connection, Upload

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_EVERY_ADDRESS = "0.0.0.0"  # noqa: S104 -- what other machines must reach listens there
_HERE = frozenset({_EVERY_ADDRESS, "::"})
_TOKEN = re.compile(r"[!-~]{16,}")
_HOW = "at least 16 characters without spaces, for example what `openssl rand -hex 32` prints"

#: Small chunks are gathered to blocks of this size, of which three are in memory at most.
_BLOCK = 1 << 20
#: Seconds for an answer about one object, and for one that needs a look at many.
_SHORT, _LONG = 10.0, 120.0


class PolytopeStagingSettings(BaseModel):
    """Keys of the basic object store, for itself and for those who use it."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
    host: Host = Field(
        "localhost",
        description="Host name or address at which the other processes reach the object store. "
        "`0.0.0.0` and `::` stand for this machine, as which other machines reach it too.",
    )
    port: Port = Field(8000, description="Port of the object store.")
    bind_to: BindAddress | None = Field(
        None,
        description="Host name or address on which the object store listens; by default this machine only "
        "if `host` is `localhost`, else every address.",
    )
    root_dir: Path | None = Field(
        None,
        description="Folder of the object store, on its machine; by default `staging` in the data folder.",
    )
    url: HTTPBase | None = Field(
        None,
        description="Base of the links to results, if clients reach the object store; by default they get "
        "results from the frontend.",
    )
    token: str = Field(
        repr=False,
        description=f"Secret for writing, listing and removing, the same for all processes: {_HOW}. "
        "`$NAME` takes it from the environment.",
    )
    quota: Size | None = Field(
        None, gt=0, description="Largest sum of all objects; by default what the disk has room for."
    )
    reserve: Size | None = Field(
        None,
        description="Space on the disk of the object store that objects never take; by default 5 % of the "
        "disk, 10G at most.",
    )
    management: ManagementSettings = part(
        ManagementSettings, "Liveness, readiness and metrics of the object store."
    )

    @field_validator("token")
    @classmethod
    def _is_a_secret(cls, value: str) -> str:
        if not _TOKEN.fullmatch(value):
            raise ValueError(f"expected a secret of {_HOW}")
        return value

    @property
    def address(self) -> URL:
        """Where other processes reach the object store."""
        host = "localhost" if self.host in _HERE else self.host
        return URL.build(scheme="http", host=host, port=self.port)

    @property
    def listen_on(self) -> str:
        """The host name or address on which the object store listens."""
        if self.bind_to is not None:
            return self.bind_to
        return self.host if self.host in _LOOPBACK | _HERE else _EVERY_ADDRESS


class PolytopeStaging(Staging):
    """Objects in the basic object store. Opening needs no running store; calls fail until there is one."""

    Settings = PolytopeStagingSettings

    def __init__(self, settings: PolytopeStagingSettings, data: Path) -> None:
        self._connection = Connection(settings.address, settings.token)
        self._url = settings.url.rstrip("/") if settings.url else None

    async def open(self) -> None:
        await self._connection.open()

    async def close(self) -> None:
        await self._connection.close()

    async def create(
        self, name: str, chunks: AsyncIterator[bytes], content_type: str, md5: str | None = None
    ) -> StagedObject:
        upload = Upload(self._connection, _checked(name), content_type, md5)
        try:
            gathered: list[bytes] = []
            size = 0
            async for chunk in chunks:
                gathered.append(chunk)
                size += len(chunk)
                if size >= _BLOCK:
                    await upload.give(b"".join(gathered))
                    gathered, size = [], 0
            if size:
                await upload.give(b"".join(gathered))
            made = await upload.finish()
        except BaseException:
            await upload.give_up()
            raise
        return StagedObject(name, made["size"], content_type, made["md5"], made["modified"], made["etag"])

    async def room(self) -> int | None:
        try:
            async with self._connection.call("GET", "room", total=_SHORT) as answer:
                return int((await answer.json())["room"])
        except ObjectNotFoundError:  # a store of an earlier version
            return None

    async def admit(self, size: int) -> None:
        with suppress(ObjectNotFoundError):  # a store of an earlier version
            async with self._connection.call("GET", f"room?size={size}", total=_SHORT):
                pass

    async def stat(self, name: str) -> StagedObject:
        async with self._connection.call("HEAD", _checked(name), authorized=False, total=_SHORT) as answer:
            headers = answer.headers
            return StagedObject(
                name,
                int(headers["Content-Length"]),
                headers["Content-Type"],
                headers.get("Content-MD5", ""),
                float(headers["X-Modified"]),
                headers["ETag"].strip('"'),
            )

    async def read(self, name: str, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        if length == 0:
            await self.stat(name)
            return
        end = None if length is None else start + length
        while end is None or start < end:
            before = start
            try:
                async for chunk in self._read_range(name, start, end):
                    start += len(chunk)
                    yield chunk
                return
            except StagingUnavailableError as error:
                # The system of the store ends a connection on which nothing is taken for minutes. As slow may
                # the client of a frontend be.
                if start == before or isinstance(error.__cause__, TimeoutError):
                    raise

    async def _read_range(self, name: str, start: int, end: int | None) -> AsyncIterator[bytes]:
        """The bytes from `start` to before `end`, or to the last."""
        part = {"Range": f"bytes={start}-{'' if end is None else end - 1}"}
        headers = part if start or end is not None else {}
        async with self._connection.call(
            "GET", _checked(name), idle=IDLE, accept=(416,), headers=headers
        ) as answer:
            if answer.status == 416:  # there is nothing from there on
                return
            async for chunk in answer.content.iter_any():
                yield chunk

    async def delete(self, name: str) -> bool:
        try:
            async with self._connection.call("DELETE", _checked(name), total=_SHORT):
                return True
        except ObjectNotFoundError:
            return False

    async def delete_request(self, request_id: str) -> int:
        if not is_request_id(request_id):
            return 0
        return await self._count("DELETE", f"{request_id}/")

    async def list(self) -> AsyncIterator[StagedObject]:
        async with self._connection.call("GET", "", idle=IDLE) as answer:
            async for line in answer.content:
                found = json.loads(line)
                yield StagedObject(found["name"], found["size"], "", "", found["modified"])

    async def abandoned(self, before: float) -> int:
        # An age, because the clocks of two machines differ.
        return await self._count("DELETE", f"unfinished?age={time.time() - before:.3f}")

    async def _count(self, method: str, path: str) -> int:
        async with self._connection.call(method, path, total=_LONG) as answer:
            return int((await answer.json())["count"])

    def public_url(self, name: str) -> str | None:
        return f"{self._url}/{name}" if self._url else None


def _checked(name: str) -> str:
    """A name that is fit to be part of an address. Raises ObjectNotFoundError."""
    if not is_object_name(name):
        raise ObjectNotFoundError(name)
    return name
