"""Large objects to and from S3 and the object store: what staging makes of the speed behind it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import aiohttp

from benchmarks import load
from benchmarks.figure import Figure, Plan, Target, alternate, gib
from benchmarks.floor import BareServer
from polytope_server.staging import Staging
from polytope_server.staging.names import new_object_name
from polytope_server.staging.polytope import PolytopeStaging
from polytope_server.staging.s3 import S3Settings, S3Staging
from testbed.object_store import ObjectStore
from testbed.services import S3

_TYPE = "application/x-grib"
_BUCKET = "benchmark"
_CHUNK = b"x" * (1 << 20)
_ENOUGH = Target(0.8, of_ratio=True)


#: Makes a staging, for one use: it belongs to the event loop in which it is opened.
Make = Callable[[], Staging]


@dataclass(frozen=True)
class Bench:
    """The servers, a staging on each, and the bare application."""

    plan: Plan
    folder: Path
    s3: S3
    store: ObjectStore
    bare: BareServer

    @property
    def size(self) -> int:
        """Bytes of each object."""
        return self.plan.transfer

    def on_s3(self) -> Staging:
        """A staging in a bucket of S3."""
        keys = {"access_key": self.s3.access_key, "secret_key": self.s3.secret_key, "bucket": _BUCKET}
        settings = S3Settings.model_validate({"host": self.s3.host, "port": self.s3.port, **keys})
        return S3Staging(settings, self.folder)

    def on_store(self) -> Staging:
        """A staging in the object store."""
        return PolytopeStaging(self.store.settings, self.folder)


@contextmanager
def bench(plan: Plan, folder: Path) -> Iterator[Bench]:
    """The servers, with all their files below `folder`."""
    # Few rounds: each of them moves gigabytes.
    plan = replace(plan, rounds=min(plan.rounds, 3))
    folder = folder / "transfers"
    with ExitStack() as stack:
        s3, store = (stack.enter_context(kind(folder)) for kind in (S3, ObjectStore))
        bare = stack.enter_context(BareServer(folder / "bare-files"))
        s3.client().create_bucket(Bucket=_BUCKET)
        yield Bench(plan, folder, s3, store, bare)


async def _blocks(size: int) -> AsyncIterator[bytes]:
    for _ in range(size // len(_CHUNK)):
        yield _CHUNK


async def _with(make: Make, work: Callable[[Staging], Awaitable[object]]) -> float:
    """The seconds that `work` takes on a staging that is open."""
    staging = make()
    await staging.open()
    try:
        started = time.perf_counter()
        await work(staging)
        return time.perf_counter() - started
    finally:
        await staging.close()


def _create(make: Make, size: int) -> tuple[str, float]:
    """The name of a new object, and the seconds that it took."""
    name = new_object_name(f"benchmark-{uuid4()}", _TYPE)
    return name, asyncio.run(_with(make, lambda staging: staging.create(name, _blocks(size), _TYPE)))


def _delete(make: Make, name: str) -> None:
    asyncio.run(_with(make, lambda staging: staging.delete(name)))


def _write(make: Make, size: int) -> float:
    """MB/s of a staged object, which is removed again."""
    name, seconds = _create(make, size)
    _delete(make, name)
    return size / seconds / 1e6


def _read(make: Make, name: str, size: int) -> float:
    """MB/s of reading an object."""

    async def read(staging: Staging) -> None:
        received = 0
        async for chunk in staging.read(name):
            received += len(chunk)
        if received != size:
            raise load.LoadError(f"{received} bytes came instead of {size}")

    return size / asyncio.run(_with(make, read)) / 1e6


def _speed(size: int, work: Callable[[], object]) -> float:
    """MB/s."""
    started = time.perf_counter()
    work()
    return size / (time.perf_counter() - started) / 1e6


class _Source:
    """A file of that many bytes, which is nowhere."""

    def __init__(self, size: int) -> None:
        self._left = size

    def read(self, count: int = -1) -> bytes:
        """The next bytes."""
        count = min(self._left, len(_CHUNK) if count < 0 else count)
        self._left -= count
        return _CHUNK[:count] if count <= len(_CHUNK) else b"x" * count


class _Sink:
    """Takes bytes, and forgets them."""

    def write(self, data: bytes) -> int:
        """Take some."""
        return len(data)


def s3_upload(run: Bench) -> list[Figure]:
    """From the chunks of a data source into a bucket."""
    client = run.s3.client()

    def floor() -> float:
        speed = _speed(run.size, lambda: client.upload_fileobj(_Source(run.size), _BUCKET, "floor"))
        client.delete_object(Bucket=_BUCKET, Key="floor")
        return speed

    floors, values = alternate(run.plan, floor, lambda: _write(run.on_s3, run.size))
    return [Figure(f"S3: {gib(run.size)}, upload", "MB/s", values, floors, "boto3's upload_fileobj", _ENOUGH)]


def s3_download(run: Bench) -> list[Figure]:
    """From a bucket to the client that asks the frontend for it."""
    client, (name, _) = run.s3.client(), _create(run.on_s3, run.size)
    floors, values = alternate(
        run.plan,
        lambda: _speed(run.size, lambda: client.download_fileobj(_BUCKET, name, _Sink())),
        lambda: _read(run.on_s3, name, run.size),
    )
    _delete(run.on_s3, name)
    title = f"S3: {gib(run.size)}, download"
    return [Figure(title, "MB/s", values, floors, "boto3's download_fileobj", _ENOUGH)]


def store_upload(run: Bench) -> list[Figure]:
    """From the chunks of a data source into the object store, on its disk when it is done."""
    target = run.bare.folder / "upload"

    async def put() -> None:
        url = f"http://{load.HOST}:{run.bare.port}/uploads/{target.name}"
        async with aiohttp.ClientSession() as session, session.put(url, data=_blocks(run.size)) as answer:
            answer.raise_for_status()

    def floor() -> float:
        speed = _speed(run.size, lambda: asyncio.run(put()))
        target.unlink()
        return speed

    floors, values = alternate(run.plan, floor, lambda: _write(run.on_store, run.size))
    title = f"object store: {gib(run.size)}, upload"
    return [Figure(title, "MB/s", values, floors, "bare Falcon, same bytes", _ENOUGH)]


def store_download(run: Bench) -> list[Figure]:
    """From the object store to a client."""
    name, _ = _create(run.on_store, run.size)
    link = run.bare.link(run.store.root / "objects" / name)
    floors, values = alternate(
        run.plan,
        partial(_fetch, run.bare.port, link, run.size),
        partial(_fetch, run.store.port, f"/{name}", run.size),
    )
    _delete(run.on_store, name)
    title = f"object store: {gib(run.size)}, download"
    return [Figure(title, "MB/s", values, floors, "bare Falcon, same file", _ENOUGH)]


def _fetch(port: int, path: str, size: int) -> float:
    parts = urlsplit(path)
    received, seconds = load.download(port, parts.path)
    if received != size:
        raise load.LoadError(f"{received} bytes came instead of {size}")
    return received / seconds / 1e6


MEASUREMENTS: tuple[Callable[[Bench], list[Figure]], ...] = (
    s3_upload,
    s3_download,
    store_upload,
    store_download,
)
