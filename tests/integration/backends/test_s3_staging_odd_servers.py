"""The staging on S3 before servers that do not do what they should."""

import asyncio
import base64
import contextlib
import hashlib
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from polytope_server.staging import StagingUnavailableError
from polytope_server.staging.names import new_object_name
from polytope_server.staging.s3 import S3Staging, clients
from polytope_server.staging.s3.client import S3Client
from polytope_server.staging.s3.settings import S3Settings
from polytope_server.testing.staging import GRIB, chunked, read

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def calling(serve: Serve, scheme: str = "http") -> AsyncIterator[tuple[S3Settings, S3Client]]:
    """A client whose server does `serve` for each connection, and its settings."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await serve(reader, writer)
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1")
    port = server.sockets[0].getsockname()[1]
    keys: dict[str, Any] = {"access_key": "name", "secret_key": "hidden"}
    settings = S3Settings(host=f"{scheme}://127.0.0.1", port=port, **keys)
    client = S3Client(settings)
    await client.connect()
    try:
        yield settings, client
    finally:
        client.close()
        server.close()


@contextlib.asynccontextmanager
async def against(serve: Serve, tmp_path: Path, scheme: str = "http") -> AsyncIterator[S3Staging]:
    """A staging on such a server."""
    async with calling(serve, scheme) as (settings, client):
        staging = S3Staging(settings, tmp_path, client=client)
        try:
            yield staging
        finally:
            await staging.close()


def answering(*answers: bytes) -> tuple[Serve, list[bytes]]:
    """A server that gives those answers, one for each request, the last for all further ones; and its log."""
    left, asked = list(answers), []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            asked.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(left.pop(0) if len(left) > 1 else left[0])
            await writer.drain()
            if b"close" in asked[-1]:
                return

    return serve, asked


def http(status: str, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def error(status: str, code: str) -> bytes:
    return http(status, f"<Error><Code>{code}</Code><Message>later</Message></Error>".encode())


async def test_a_server_that_does_not_answer_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    monkeypatch.setattr(clients, "_ANSWER_TIME", 0.2)
    monkeypatch.setattr(clients, "_TRANSFER_TIME", 0.2)
    async with against(silent, tmp_path) as staging:
        before = time.monotonic()
        with pytest.raises(StagingUnavailableError, match=r"head_object.*'default'.*does not answer in time"):
            await staging.stat("r1/x.grib")
        with pytest.raises(StagingUnavailableError, match="does not answer in time"):
            await read(staging, "r1/x.grib")
        assert time.monotonic() - before < 10


async def test_a_busy_server_is_asked_again(tmp_path: Path) -> None:
    serve, asked = answering(error("503 Slow Down", "SlowDown"), http("200 OK", b"data"))
    async with against(serve, tmp_path) as staging:
        assert await read(staging, "r1/x.grib") == b"data"
    assert len(asked) == 2


async def test_a_server_that_stays_busy_is_unavailable(tmp_path: Path) -> None:
    serve, _ = answering(error("503 Slow Down", "SlowDown"))
    async with against(serve, tmp_path) as staging:
        with pytest.raises(StagingUnavailableError, match=r"refused get_object: SlowDown \(later\)"):
            await read(staging, "r1/x.grib")


async def test_what_is_not_allowed_is_named(tmp_path: Path) -> None:
    serve, _ = answering(error("403 Forbidden", "AccessDenied"))
    async with against(serve, tmp_path) as staging:
        with pytest.raises(StagingUnavailableError, match=r"'default'.*refused get_object: AccessDenied"):
            await read(staging, "r1/x.grib")
        with pytest.raises(StagingUnavailableError, match="refused list_objects_v2: AccessDenied"):
            await staging.delete_request("r1")


async def test_what_is_no_s3_server_is_unavailable(tmp_path: Path) -> None:
    serve, _ = answering(http("200 OK", b"<html><br>Welcome", "Content-Type: text/html"))
    async with against(serve, tmp_path) as staging:
        with pytest.raises(StagingUnavailableError, match="refused list_objects_v2: 500"):
            await staging.delete_request("r1")


async def test_a_server_without_tls_is_named(tmp_path: Path) -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(http("400 Bad Request"))
        await writer.drain()

    async with against(plain, tmp_path, scheme="https") as staging:
        with pytest.raises(StagingUnavailableError, match="no secure connection") as caught:
            await staging.stat("r1/x.grib")
        assert "hidden" not in str(caught.value)


async def test_an_object_of_another_size_is_no_success(tmp_path: Path) -> None:
    """Where an object was made in parts: of one that is sent whole, S3 verifies the MD5."""
    described = [b"Content-Type: x/y", b"Last-Modified: Wed, 25 Nov 2026 04:15:03 GMT"]
    started = b"<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            if b"100-continue" in head:
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            if (length := re.search(rb"Content-Length: (\d+)", head)) is not None:
                await reader.readexactly(int(length[1]))
            if head.startswith(b"PUT"):
                writer.write(http("200 OK", b"", 'ETag: "x"'))
            elif head.startswith(b"POST"):
                done = b"<CompleteMultipartUploadResult/>"
                writer.write(http("200 OK", started if b"?uploads" in head else done))
            elif head.startswith(b"HEAD"):
                writer.write(b"\r\n".join([b"HTTP/1.1 200 OK", b"Content-Length: 3", *described, b"", b""]))
            else:
                deleted.append(head)
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")

    deleted: list[bytes] = []
    size = 11 << 20
    async with against(serve, tmp_path) as staging:
        with pytest.raises(StagingUnavailableError, match=f"of the {size} bytes of a result S3 keeps 3"):
            await staging.create(new_object_name("r1", GRIB), chunked([bytes(size)]), GRIB)
    # The upload, the object, and that of its checksum.
    assert len(deleted) == 3


async def test_every_body_is_bound_to_the_signature(tmp_path: Path) -> None:
    """By its MD5, in a header that is signed, or by its SHA-256: it cannot be changed on the way."""
    answers = {
        b"PUT": http("200 OK", b"", 'ETag: "x"'),
        b"POST": http("200 OK", b"<CompleteMultipartUploadResult/>"),
    }
    sent: dict[bytes, tuple[dict[str, str], bytes]] = {}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            if "expect" in headers:
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            method = first.partition(" ")[0].encode()
            sent[method] = headers, await reader.readexactly(int(headers["content-length"]))
            writer.write(answers[method])

    upload: dict[str, Any] = {"Key": "name", "UploadId": "upload"}
    parts = {"Parts": [{"PartNumber": 1, "ETag": "x"}]}
    async with calling(serve) as (_, client):
        await client.send("upload_part", b"data", PartNumber=1, **upload)
        await client.transfer("complete_multipart_upload", MultipartUpload=parts, **upload)
    part, body = sent[b"PUT"]
    assert body == b"data"
    assert base64.b64decode(part["content-md5"]) == hashlib.md5(body).digest()
    assert "content-md5" in part["authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
    completion, body = sent[b"POST"]
    assert completion["x-amz-content-sha256"] == hashlib.sha256(body).hexdigest()


class TestDownloads:
    """Ones that break off."""

    @staticmethod
    def _serve(data: bytes, *sent: int) -> tuple[Serve, list[bytes]]:
        """Sends that many bytes of what is asked for in each answer, then closes the connection."""
        left, ranges = list(sent), []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = await reader.readuntil(b"\r\n\r\n")
            line = next((line for line in head.split(b"\r\n") if line.startswith(b"Range")), b"")
            ranges.append(line)
            start = int(line.partition(b"=")[2].partition(b"-")[0]) if line else 0
            rest = data[start:]
            status = "206 Partial Content" if line else "200 OK"
            writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(rest)}\r\n\r\n".encode())
            writer.write(rest[: left.pop(0) if left else 0])
            await writer.drain()

        return serve, ranges

    async def test_it_goes_on_where_it_was(self, tmp_path: Path) -> None:
        data = bytes(range(256)) * 16384
        serve, ranges = self._serve(data, (1 << 20) + 5, (1 << 20) + 5, len(data))
        async with against(serve, tmp_path) as staging:
            assert await read(staging, "r1/x.grib") == data
        assert ranges == [b"", b"Range: bytes=1048581-4194303", b"Range: bytes=2097162-4194303"]

    async def test_it_is_given_up_when_nothing_comes_any_more(self, tmp_path: Path) -> None:
        serve, ranges = self._serve(bytes(4 << 20), (1 << 20) + 5, 0, 0)
        async with against(serve, tmp_path) as staging:
            with pytest.raises(StagingUnavailableError, match=r"get_object.*broke off"):
                await read(staging, "r1/x.grib")
        assert len(ranges) == 2
