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

import boto3
import botocore.session
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError, ClientError

from polytope_server.staging import StagingUnavailableError
from polytope_server.staging.s3.direct import Objects, Sender
from polytope_server.staging.s3.settings import LONGEST_EXPIRY, S3Settings

T = TypeVar("T")

#: Seconds.
_CONNECT_TIME = 2
#: Seconds without any byte: for a question, and for a part of an object or its completion.
_ANSWER_TIME, _TRANSFER_TIME = 10, 30
#: With pauses of up to 1, 2 ... seconds in between, so that an outage is told within a few seconds.
_ATTEMPTS, _TRANSFER_ATTEMPTS = 2, 3
#: Connections that are kept, besides one for each thread: each download that is read slowly has its own.
_CONNECTIONS = 40
#: Bytes of an object that is sent whole without more ado.
_SMALL = 1 << 20
_MISSING = frozenset({"404", "NoSuchKey", "NotFound"})
_REASONS = {
    "EndpointConnectionError": "it cannot be reached",
    "ConnectTimeoutError": "it cannot be reached",
    "ReadTimeoutError": "it does not answer in time",
    "ConnectionClosedError": "the connection broke off",
    "IncompleteReadError": "the connection broke off",
    "ResponseStreamingError": "the connection broke off",
    "SSLError": "no secure connection could be made; is its certificate known here (AWS_CA_BUNDLE)?",
    "NoCredentialsError": "there are no credentials; set access_key and secret_key",
    "PartialCredentialsError": "the credentials are not complete; set access_key and secret_key",
}


class S3RefusedError(StagingUnavailableError):
    """S3 answered a call with an error. `code` is its name, or the status where there is no name."""

    def __init__(self, text: str, code: str) -> None:
        super().__init__(text)
        self.code = code

    @property
    def missing(self) -> bool:
        """Whether what was asked for does not exist."""
        return self.code in _MISSING


class S3Client:
    """Makes calls to one bucket. All methods but the constructor need :meth:`connect` before."""

    def __init__(self, settings: S3Settings) -> None:
        self._settings = settings
        self._where = f"the bucket {settings.bucket!r} on {settings.endpoint or 'Amazon S3'}"
        self._threads = ThreadPoolExecutor(settings.max_threads, thread_name_prefix="s3")
        self._questions: Any = None
        self._transfers: Any = None
        self._senders: Any = None
        self._shown: Objects | None = None
        self._written: Objects | None = None
        self._direct: Sender | None = None
        self._lock = threading.Lock()

    @property
    def region(self) -> str:
        """The region that calls are signed for."""
        region: str = self._questions.meta.region_name
        return region

    async def connect(self) -> None:
        """Find the credentials. Connections are made by the calls. Raises StagingUnavailableError."""
        await self.run("connect", self._make_clients)

    def _make_clients(self) -> None:
        with self._lock:
            if self._questions is not None:
                return
            # At the level DEBUG they tell headers, with session tokens in them.
            for name in ("boto3", "botocore"):
                logging.getLogger(name).setLevel(logging.INFO)
            core = botocore.session.get_session()
            session = boto3.Session(botocore_session=core)
            endpoint, public = self._settings.endpoint, self._settings.public_url
            self._transfers = self._client(session, endpoint, _TRANSFER_TIME, _TRANSFER_ATTEMPTS)
            # PERF: what it sends is bound to its signature by an MD5, see send; no SHA-256 besides.
            self._senders = self._client(
                session, endpoint, _TRANSFER_TIME, _TRANSFER_ATTEMPTS, sign_body=False
            )
            credentials = self._credentials(session)
            shown = self._client(session, public or endpoint, _ANSWER_TIME, _ATTEMPTS)
            self._shown = Objects(shown, credentials, self._settings.bucket)
            self._written = Objects(self._senders, credentials, self._settings.bucket)
            self._direct = Sender(
                self._senders.meta.endpoint_url,
                self._settings.max_threads,
                (_CONNECT_TIME, _ANSWER_TIME),
                core.get_config_variable("ca_bundle"),
            )
            self._questions = self._client(session, endpoint, _ANSWER_TIME, _ATTEMPTS)

    def _credentials(self, session: Any) -> Any:
        key, secret = self._settings.access_key, self._settings.secret_key
        return Credentials(key, secret) if key and secret else session.get_credentials()

    def _client(
        self, session: Any, endpoint: str | None, answer_time: int, attempts: int, *, sign_body: bool = True
    ) -> Any:
        settings = self._settings
        return session.client(
            "s3",
            endpoint_url=endpoint,
            region_name=settings.region or session.region_name or "us-east-1",
            aws_access_key_id=settings.access_key or None,
            aws_secret_access_key=settings.secret_key or None,
            config=Config(
                signature_version="s3v4",
                s3={"addressing_style": settings.addressing_style, "payload_signing_enabled": sign_body},
                connect_timeout=_CONNECT_TIME,
                read_timeout=answer_time,
                retries={"mode": "standard", "total_max_attempts": attempts},
                max_pool_connections=settings.max_threads + _CONNECTIONS,
                # By default boto3 sends checksums in a form that not all servers know. See send.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )

    async def call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """The answer to an operation of boto3, by its name there: a question, or a small change.

        Raises :class:`S3RefusedError`, and StagingUnavailableError if there is no answer.
        """
        return await self.run(operation, self._perform, self._questions, operation, parameters)

    async def transfer(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """The same, with more time and more attempts, for what carries data or is dear to begin again."""
        return await self.run(operation, self._perform, self._transfers, operation, parameters)

    async def send(
        self, operation: str, body: bytes | bytearray, md5: bytes | None = None, **parameters: Any
    ) -> dict[str, Any]:
        """The same as :meth:`transfer`, for what sends a body, with its MD5 sum, computed unless it is given.

        That is a header, and all headers are signed; it is the only checksum that every server verifies
        (SeaweedFS 4 accepts a wrong SHA-256).
        """
        return await self.run(operation, self._send, operation, body, md5, parameters)

    async def put(
        self, name: str, body: bytes | bytearray, md5: bytes | None = None, **parameters: Any
    ) -> str:
        """Send an object whole, as :meth:`send` does; returns its ETag.

        `parameters` are ContentType, ContentDisposition and Metadata.
        """
        return await self.run("put_object", self._put, name, body, md5, parameters)

    def get(self, **parameters: Any) -> dict[str, Any]:
        """The answer to `get_object`, with its body still to be read; called in a thread of :meth:`run`."""
        return self._perform(self._transfers, "get_object", parameters)

    async def run(self, operation: str, function: Callable[..., T], *arguments: Any) -> T:
        """What `function` returns, in a thread. Errors of boto3 become those of staging."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)
        except ClientError as error:
            raise self._refused(operation, error) from error
        except BotoCoreError as error:
            raise self._failed(operation, error) from error

    def submit(self, function: Callable[[], object]) -> None:
        """Have a thread run `function`, which lets go of a connection, when it has time."""
        # After closing there are no connections any more.
        with suppress(RuntimeError):
            self._threads.submit(function)

    def _perform(self, client: Any, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        if client is None:
            raise StagingUnavailableError(f"{self._where} is not opened yet")
        answer: dict[str, Any] = getattr(client, operation)(Bucket=self._settings.bucket, **parameters)
        return answer

    def _send(
        self, operation: str, body: bytes | bytearray, md5: bytes | None, parameters: dict[str, Any]
    ) -> dict[str, Any]:
        digest = md5 or _md5(body)
        checked = {"Body": body, "ContentMD5": base64.b64encode(digest).decode()}
        return self._perform(self._senders, operation, {**parameters, **checked})

    def _put(self, name: str, body: bytes | bytearray, md5: bytes | None, parameters: dict[str, Any]) -> str:
        digest = md5 or _md5(body)
        etag = ""
        # PERF: a fifth of the processor time. What goes wrong is done again by boto3, which knows what to do.
        if len(body) <= _SMALL and self._direct is not None and self._written is not None:
            headers = _headers(**parameters)
            etag = self._direct.send(self._written.signed(name, body, digest, headers))
        if not etag:
            answer = self._send("put_object", body, digest, {"Key": name, **parameters})
            etag = answer.get("ETag", "")
        return etag.strip('"')

    def _refused(self, operation: str, error: ClientError) -> S3RefusedError:
        told = error.response.get("Error", {})
        code, message = str(told.get("Code", "unknown")), told.get("Message", "")
        return S3RefusedError(f"{self._where} refused {operation}: {code} ({message})", code)

    def _failed(self, operation: str, error: BotoCoreError) -> StagingUnavailableError:
        # The texts of boto3 hold addresses of objects, which are secrets of their owners.
        kind = type(error).__name__
        return StagingUnavailableError(f"{operation} on {self._where} failed: {_REASONS.get(kind, kind)}")

    def presign(self, name: str) -> str:
        """An address that lets anybody get that object for the configured time."""
        if self._shown is None:
            raise StagingUnavailableError(f"{self._where} is not opened yet")
        try:
            return self._shown.presign(name, int(min(self._settings.presigned_url_expiry, LONGEST_EXPIRY)))
        except BotoCoreError as error:
            raise self._failed("presign", error) from error

    def close(self) -> None:
        """Let go of connections. Calls that run end by themselves, within their time."""
        self._threads.shutdown(wait=False)
        for client in (self._questions, self._transfers, self._senders, self._direct):
            if client is not None:
                client.close()


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
