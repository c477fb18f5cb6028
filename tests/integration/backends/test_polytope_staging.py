"""The staging `polytope` against the object store process."""

import asyncio
import os
import re
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from polytope_server.staging import (
    ObjectNotFoundError,
    ObjectTooLargeError,
    StagedObject,
    Staging,
    StagingFullError,
    StagingUnavailableError,
    polytope,
)
from polytope_server.staging.names import new_object_name
from polytope_server.staging.polytope import PolytopeStaging
from polytope_server.staging.polytope import http as polytope_http
from polytope_server.testing.staging import GRIB, StagingContract, chunked, names, read
from polytope_server.testing.waiting import until
from testbed.object_store import TOKEN, ObjectStore
from testbed.server import StandaloneServer
from testbed.services.service import free_port

MIB = 1 << 20
#: For a store that is back to be noticed, and one that is gone to be reported.
SOON = 5.0


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    with ObjectStore(tmp_path_factory.mktemp("store")) as store:
        yield store


@pytest.fixture
def own(tmp_path: Path) -> Iterator[ObjectStore]:
    """A store that a test may kill."""
    with ObjectStore(tmp_path) as store:
        yield store


@pytest.fixture
async def connect(tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    """Opens a staging on a store, with other keys if wanted."""
    opened = []

    async def connect(store: ObjectStore, **keys: Any) -> PolytopeStaging:
        staging = PolytopeStaging(store.settings.model_copy(update=keys), tmp_path)
        opened.append(staging)
        await staging.open()
        return staging

    yield connect
    for staging in opened:
        await staging.close()


async def endless(size: int = MIB) -> AsyncIterator[bytes]:
    """The chunks of a data source that does not come to an end."""
    while True:
        yield b"x" * size


async def put(staging: Staging, size: int = 4, request: str = "r1") -> StagedObject:
    return await staging.create(new_object_name(request, GRIB), chunked([b"x" * size]), GRIB)


async def back(staging: Staging) -> None:
    """Return when the store can be used again, which is soon."""
    async with asyncio.timeout(SOON):
        while True:
            with suppress(StagingUnavailableError):
                await put(staging)
                return
            await asyncio.sleep(0.02)


def unfinished(store: ObjectStore) -> list[Path]:
    return list((store.root / "unfinished").iterdir())


class TestPolytopeStaging(StagingContract):
    @pytest.fixture
    async def staging(self, store: ObjectStore, connect: Callable[..., Any]) -> PolytopeStaging:
        staging: PolytopeStaging = await connect(store)
        for name in await names(staging):
            await staging.delete(name)
        return staging

    async def test_nothing_is_read_from_beyond_the_end(self, staging: Staging) -> None:
        made = await put(staging, 10)
        assert await read(staging, made.name, 10) == b""
        assert await read(staging, made.name, 3, 0) == b""
        with pytest.raises(ObjectNotFoundError):
            await read(staging, new_object_name("r1", GRIB), 0, 0)

    @pytest.mark.parametrize("size", [1, 100_000, 3 * MIB])
    async def test_a_writer_that_is_cancelled_leaves_nothing(
        self, staging: Staging, store: ObjectStore, size: int
    ) -> None:
        writing = asyncio.create_task(staging.create(new_object_name("r1", GRIB), endless(size), GRIB))
        await until(lambda: unfinished(store))
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        assert (unfinished(store), await names(staging)) == ([], set())

    async def test_an_object_is_not_replaced(self, staging: Staging) -> None:
        made = await put(staging, 10)
        with pytest.raises(StagingUnavailableError, match="409: There is an object of that name"):
            await staging.create(made.name, chunked([b"other"]), GRIB)
        assert await read(staging, made.name) == b"x" * 10

    async def test_other_bytes_than_were_sent_are_no_success(
        self, staging: PolytopeStaging, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Digest:
            update = hexdigest = staticmethod(lambda *_: "another sum")

        monkeypatch.setattr("xxhash.xxh3_128", Digest)
        with pytest.raises(StagingUnavailableError, match="got other bytes for r1"):
            await put(staging)
        assert await names(staging) == set()

    async def test_a_reader_may_leave(self, staging: Staging) -> None:
        made = await put(staging, 20 * MIB)
        for _ in range(5):
            chunks = aiter(staging.read(made.name))
            await anext(chunks)
            await chunks.aclose()  # type: ignore[attr-defined]
        assert len(await read(staging, made.name)) == 20 * MIB

    async def test_many_at_once(self, staging: Staging) -> None:
        made = await asyncio.gather(*(put(staging, 300_000 + n, f"r{n}") for n in range(60)))
        read_back = await asyncio.gather(*(read(staging, each.name) for each in made))
        assert [len(data) for data in read_back] == [each.size for each in made]
        assert await names(staging) == {each.name for each in made}

    async def test_opening_and_closing_may_be_repeated(self, staging: Staging) -> None:
        await staging.open()
        made = await put(staging)
        await staging.close()
        await staging.close()
        with pytest.raises(StagingUnavailableError, match="not open"):
            await staging.stat(made.name)
        await staging.open()
        assert await staging.stat(made.name) == made


async def test_clients_get_a_link_if_there_is_a_base(store: ObjectStore, connect: Callable[..., Any]) -> None:
    assert (await connect(store)).public_url("r1/x.bin") is None
    linked = await connect(store, url="https://example.org/store/")
    assert linked.public_url("r1/x.bin") == "https://example.org/store/r1/x.bin"


async def test_a_wrong_token_is_explained(store: ObjectStore, connect: Callable[..., Any]) -> None:
    staging = await connect(store, token="x" * 16)
    for call in (put(staging), put(staging, 30 * MIB), staging.delete("r1/x.bin"), names(staging)):
        with pytest.raises(
            StagingUnavailableError, match=r"refuses the token: staging\.polytope\.token"
        ) as no:
            await call
        assert "x" * 16 not in str(no.value)


@pytest.mark.parametrize("size", [2 * MIB, 50 * MIB])
async def test_a_full_store_is_explained(tmp_path: Path, connect: Callable[..., Any], size: int) -> None:
    with ObjectStore(tmp_path, quota="1M") as store:
        staging = await connect(store)
        with pytest.raises(ObjectTooLargeError) as error:
            await put(staging, size)
        assert error.value.size > error.value.room == MIB
        assert (unfinished(store), await names(staging)) == ([], set())
        assert (await put(staging, MIB)).size == MIB
        assert await staging.room() == 0
        with pytest.raises(StagingFullError, match="leaves 0"):
            await staging.admit(1)
        with pytest.raises(ObjectTooLargeError):
            await staging.admit(2 * MIB)
        with pytest.raises(StagingFullError, match="is full: the quota of 1048576 bytes leaves 0"):
            await put(staging, 1)


async def test_something_else_is_no_store(store: ObjectStore, connect: Callable[..., Any]) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1") as server:
        staging = await connect(store, port=server.sockets[0].getsockname()[1])
        with pytest.raises(StagingUnavailableError, match="something else answers there, with status 404"):
            await staging.stat(new_object_name("r1", GRIB))


async def test_a_store_that_is_not_there_is_told_at_once(
    store: ObjectStore, connect: Callable[..., Any]
) -> None:
    staging = await connect(store, port=free_port())
    name = new_object_name("r1", GRIB)
    began = time.monotonic()
    for call in (put(staging), staging.stat(name), read(staging, name), staging.delete(name), names(staging)):
        with pytest.raises(StagingUnavailableError, match=r"the object store at http://.* cannot be reached"):
            await call
    assert time.monotonic() - began < 2


async def test_it_opens_before_the_store_runs(tmp_path: Path, connect: Callable[..., Any]) -> None:
    store = ObjectStore(tmp_path)
    staging = await connect(store)
    with pytest.raises(StagingUnavailableError):
        await put(staging)
    with store:
        await back(staging)


async def test_a_store_that_is_killed_while_it_writes(own: ObjectStore, connect: Callable[..., Any]) -> None:
    staging = await connect(own)
    name = new_object_name("r1", GRIB)
    writing = asyncio.create_task(staging.create(name, endless(), GRIB))
    await until(lambda: unfinished(own) and unfinished(own)[0].stat().st_size > 5 * MIB)
    own.kill()
    async with asyncio.timeout(SOON):
        with pytest.raises(StagingUnavailableError):
            await writing
    left = unfinished(own)
    assert len(left) == 1
    own.start()
    await back(staging)
    with pytest.raises(ObjectNotFoundError):
        await staging.stat(name)
    assert name not in await names(staging)
    assert await staging.abandoned(time.time() - 3600) == 0
    assert await staging.abandoned(time.time() + 60) == 1
    assert not left[0].exists()


async def test_a_store_that_is_killed_while_it_reads(own: ObjectStore, connect: Callable[..., Any]) -> None:
    staging = await connect(own)
    made = await put(staging, 100 * MIB)
    chunks = aiter(staging.read(made.name))
    await anext(chunks)
    own.kill()
    async with asyncio.timeout(SOON):
        with pytest.raises(StagingUnavailableError, match=r"broke off the connection|cannot be reached"):
            async for _ in chunks:
                pass
    own.start()
    await back(staging)
    assert await staging.stat(made.name) == made
    assert len(await read(staging, made.name)) == made.size


async def test_a_read_that_breaks_off_goes_on_where_it_was(
    store: ObjectStore, connect: Callable[..., Any]
) -> None:
    data = bytes(range(250)) * 10
    asked: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        found = re.search("Range: bytes=([0-9]+)-", head)
        start = int(found[1]) if found else 0
        asked.append("" if found is None else found[0])
        length = len(data) - start
        writer.write(
            f"HTTP/1.1 206 OK\r\nX-Object-Store: polytope\r\nContent-Length: {length}\r\n\r\n".encode()
        )
        writer.write(data[start : start + 1000])
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1") as server:
        staging = await connect(store, port=server.sockets[0].getsockname()[1])
        assert await read(staging, new_object_name("r1", GRIB)) == data
    assert asked == ["", "Range: bytes=1000-", "Range: bytes=2000-"]


async def test_a_store_that_hangs_is_given_up(
    own: ObjectStore, connect: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    staging = await connect(own)
    made = await put(staging, 100 * MIB)
    chunks = aiter(staging.read(made.name))
    await anext(chunks)
    monkeypatch.setattr(polytope, "_SHORT", 0.3)
    monkeypatch.setattr(polytope_http, "IDLE", 0.3)
    monkeypatch.setattr(polytope_http, "_SYNC", 0.3)
    monkeypatch.setattr(polytope_http, "_GIVE_UP", 0.3)
    signal_all(own, signal.SIGSTOP)
    try:
        with pytest.raises(StagingUnavailableError, match="does not answer in time"):
            await staging.stat(made.name)
        with pytest.raises(StagingUnavailableError, match=r"took no data for 0\.3 seconds"):
            await staging.create(new_object_name("r1", GRIB), endless(), GRIB)
        with pytest.raises(StagingUnavailableError, match=r"did not store r1/.* within 0\.3 seconds"):
            await put(staging)
    finally:
        signal_all(own, signal.SIGCONT)
    await back(staging)
    await chunks.aclose()  # type: ignore[attr-defined]


def signal_all(store: ObjectStore, number: int) -> None:
    """Send a signal to all processes of the store."""
    os.killpg(store.process.pid, number)


async def test_idle_connections_survive_a_restart(own: ObjectStore, connect: Callable[..., Any]) -> None:
    staging = await connect(own)
    await asyncio.gather(*(put(staging) for _ in range(20)))
    own.kill()
    own.start()
    assert len(await asyncio.gather(*(put(staging, 100_000) for _ in range(20)))) == 20


async def test_memory_does_not_grow_with_the_object(own: ObjectStore, connect: Callable[..., Any]) -> None:
    staging = await connect(own)
    here, there = psutil.Process(), psutil.Process(own.process.pid).children()[0]
    await put(staging, 20 * MIB)
    block = os.urandom(MIB)
    before = here.memory_info().rss, there.memory_info().rss
    made = await staging.create(new_object_name("r1", GRIB), chunked(block for _ in range(256)), GRIB)
    size = 0
    async for chunk in staging.read(made.name):
        size += len(chunk)
    assert size == 256 * MIB
    assert here.memory_info().rss - before[0] < 32 * MIB
    assert there.memory_info().rss - before[1] < 32 * MIB


def test_the_log_of_a_store_holds_no_secrets(store: ObjectStore) -> None:
    assert TOKEN not in store.log.read_text()


@pytest.mark.parametrize("linked", [False, True])
def test_a_whole_server_keeps_its_results_there(tmp_path: Path, linked: bool) -> None:
    port = free_port()
    keys: dict[str, Any] = {"port": port, "token": TOKEN, "quota": "1G"}
    if linked:
        keys["url"] = f"http://127.0.0.1:{port}"
    with StandaloneServer(tmp_path / "data", {"staging": {"polytope": keys}}) as server:
        session = server.session()
        ended = server.poll(session, server.submit(session, "echo", "the request"))
        assert ended.headers["Location"].startswith(f"http://127.0.0.1:{port}/") is linked
        assert server.result(session, server.submit(session, "echo", "the request")) == b"the request"
        for process in server.processes("object-store"):
            process.kill()
        assert server.result(session, server.submit(session, "echo", "again")) == b"again"
        assert TOKEN not in server.log.read_text()
