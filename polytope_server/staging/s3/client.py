"""The calls to S3: boto3, which blocks, in a few threads, and its errors as those of staging."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from polytope_server.staging import StagingUnavailableError
from polytope_server.staging.s3.clients import Clients, make_clients
from polytope_server.staging.s3.errors import S3RefusedError, translate
from polytope_server.staging.s3.settings import LONGEST_EXPIRY, S3Settings

T = TypeVar("T")
logger = logging.getLogger(__name__)

#: Bytes of an object that is sent whole, without boto3.
_SMALL = 1 << 20


class _Answer(dict[str, Any]):
    """An answer of S3. What it lacks is a fault of the server, and no programming error."""

    def __init__(self, members: Mapping[str, Any], what: str) -> None:
        super().__init__(members)
        self._what = what

    def __missing__(self, name: str) -> Any:
        raise StagingUnavailableError(f"{self._what} has no {name}")


class S3Client:
    """Makes calls to one bucket. All methods but the constructor need :meth:`connect` before."""

    def __init__(self, settings: S3Settings) -> None:
        self._settings = settings
        self._bucket = f"the bucket {settings.bucket!r} on {settings.endpoint or 'Amazon S3'}"
        self._threads = ThreadPoolExecutor(settings.max_threads, thread_name_prefix="s3")
        self._made: Clients | None = None
        self._lock = threading.Lock()
        self._warnings: set[str] = set()

    @property
    def region(self) -> str:
        """The region that calls are signed for."""
        region: str = self._clients.questions.meta.region_name
        return region

    async def connect(self) -> None:
        """Find the credentials. Connections are made by the calls. Raises StagingUnavailableError."""
        await self.run("connect", self._make_clients)

    def _make_clients(self) -> None:
        with self._lock:
            if self._made is None:
                self._made = make_clients(self._settings)

    @property
    def _clients(self) -> Clients:
        if self._made is None:
            raise StagingUnavailableError(f"{self._bucket} is not opened yet")
        return self._made

    async def call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """The answer to an operation of boto3, by its name there: a question, or a small change.

        Raises :class:`S3RefusedError`, and StagingUnavailableError if there is no answer.
        """
        return await self.run(operation, self._perform_call, self._clients.questions, operation, parameters)

    async def transfer(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """The same, with more time and more attempts, for what carries data or is expensive to repeat."""
        return await self.run(operation, self._perform_call, self._clients.transfers, operation, parameters)

    async def send(
        self, operation: str, body: bytes | bytearray, md5: bytes | None = None, **parameters: Any
    ) -> dict[str, Any]:
        """The same as :meth:`transfer`, for what sends a body, with its MD5 sum, computed unless it is given.

        That is a header, and all headers are signed; it is the only checksum that every server verifies
        (SeaweedFS 4 accepts a wrong SHA-256).
        """
        return await self.run(operation, self._send_body, operation, body, md5, parameters)

    async def put(
        self, name: str, body: bytes | bytearray, md5: bytes | None = None, **parameters: Any
    ) -> str:
        """Send an object whole, as :meth:`send` does; returns its ETag.

        `parameters` are ContentType, ContentDisposition and Metadata.
        """
        return await self.run("put_object", self._put_object, name, body, md5, parameters)

    def get(self, **parameters: Any) -> dict[str, Any]:
        """The answer to `get_object`, with its body still to be read; called in a thread of :meth:`run`."""
        return self._perform_call(self._clients.transfers, "get_object", parameters)

    async def run(self, operation: str, function: Callable[..., T], *arguments: Any) -> T:
        """What `function` returns, in a thread. Errors of boto3 become those of staging."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)
        except (ClientError, BotoCoreError) as error:
            raise translate(error, operation, self._bucket) from error

    def warn_once(self, what: str, error: S3RefusedError) -> None:
        """Say what this server or account cannot do; not again, as that will not change by itself."""
        if what not in self._warnings:
            self._warnings.add(what)
            logger.warning("%s: %s", what, error)

    def submit(self, function: Callable[[], object]) -> None:
        """Have a thread run `function`, which closes a connection, when one is free."""
        # After closing there are no connections any more.
        with suppress(RuntimeError):
            self._threads.submit(function)

    def _perform_call(self, client: Any, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        answer = getattr(client, operation)(Bucket=self._settings.bucket, **parameters)
        return _Answer(answer, f"the answer of {self._bucket} to {operation}")

    def _send_body(
        self, operation: str, body: bytes | bytearray, md5: bytes | None, parameters: dict[str, Any]
    ) -> dict[str, Any]:
        digest = md5 or _md5(body)
        checked = {"Body": body, "ContentMD5": base64.b64encode(digest).decode()}
        return self._perform_call(self._clients.senders, operation, {**parameters, **checked})

    def _put_object(
        self, name: str, body: bytes | bytearray, md5: bytes | None, parameters: dict[str, Any]
    ) -> str:
        digest = md5 or _md5(body)
        etag = ""
        # PERF: a fifth of the processor time. What goes wrong is done again by boto3, which knows what to do.
        if len(body) <= _SMALL:
            headers = _headers(**parameters)
            etag = self._clients.direct.send(self._clients.written.signed(name, body, digest, headers))
        if not etag:
            answer = self._send_body("put_object", body, digest, {"Key": name, **parameters})
            etag = answer.get("ETag", "")
        return etag.strip('"')

    def presign(self, name: str) -> str:
        """An address that lets anybody get that object for the configured time."""
        try:
            return self._clients.shown.presign(
                name, int(min(self._settings.presigned_url_expiry, LONGEST_EXPIRY))
            )
        except BotoCoreError as error:
            raise translate(error, "presign", self._bucket) from error

    def close(self) -> None:
        """Close the connections. Calls that run end by themselves, within their time."""
        self._threads.shutdown(wait=False)
        if self._made is not None:
            self._made.close()


def _md5(body: bytes | bytearray) -> bytes:
    return hashlib.md5(body, usedforsecurity=False).digest()


def _headers(
    ContentType: str,
    ContentDisposition: str = "",
    Metadata: Mapping[str, str] | None = None,
) -> dict[str, str]:
    found = {"Content-Type": ContentType, "Content-Disposition": ContentDisposition}
    found |= {f"x-amz-meta-{name}": value for name, value in (Metadata or {}).items()}
    return {name: value for name, value in found.items() if value}
