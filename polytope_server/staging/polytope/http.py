"""HTTP with the basic object store: one pool of connections, its errors, and uploads."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
from yarl import URL

from polytope_server.staging import (
    ChecksumError,
    LargestObjectError,
    ObjectNotFoundError,
    ObjectTooLargeError,
    StagingFullError,
    StagingUnavailableError,
)
from polytope_server.staging.checksums import Sums

#: Further calls wait for one that is free.
_CONNECTIONS = 512
_READ_BUFFER = 1 << 20
#: Seconds for a connection to be made, and for one to become free.
_CONNECT, _WAIT = 3.0, 20.0
#: Seconds for the store to take the next block, or to give the next bytes.
IDLE = 60.0
#: Seconds from the last block to the answer: the store writes the object to its disk.
_SYNC = 600.0
#: On every answer of an object store: what a proxy says in its place is no answer.
MARK = "X-Object-Store"
#: Status of the answer to data that have another MD5 sum than was announced.
WRONG_SUM = 422
#: Status of the answers to an object that does not fit: alone, or at present.
TOO_LARGE, FULL = 413, 507
#: On an answer of status TOO_LARGE: the size that the object has or exceeds, and what there is room for.
SIZE, ROOM = "X-Size", "X-Room"
#: On an answer of status FULL to the largest object that was being written.
LARGEST = "X-Largest-Object"
#: Seconds to inform the store that an upload is given up.
_GIVE_UP = 5.0
#: Bytes of an answer that says what is wrong.
_LONGEST_MESSAGE = 300


class _Request(aiohttp.ClientRequest):
    """aiohttp writes the body in a task of its own, and looks at how that ends only while it writes data."""

    async def write_bytes(self, *arguments: Any, **options: Any) -> None:
        # A lost connection shows by the missing answer.
        with suppress(aiohttp.ClientConnectionResetError):
            await super().write_bytes(*arguments, **options)


class Connection:
    """Calls the store at one address; connections are kept, and made again when the store is back."""

    def __init__(self, address: URL, token: str) -> None:
        self.store = f"the object store at {address}"
        self._address = address
        self._authorization = {"Authorization": f"Bearer {token}"}
        self._session: aiohttp.ClientSession | None = None
        #: For sums: the default pool also looks up host names, which can take long.
        self.threads: ThreadPoolExecutor | None = None

    async def open(self) -> None:
        """Get ready; the store need not run."""
        if self._session is None:
            self.threads = ThreadPoolExecutor(4, thread_name_prefix="staging")
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=_CONNECTIONS),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                read_bufsize=_READ_BUFFER,
                request_class=_Request,
            )

    async def close(self) -> None:
        """End all connections."""
        if self._session is not None and self.threads is not None:
            await self._session.close()
            self.threads.shutdown()
            self._session = self.threads = None

    @asynccontextmanager
    async def call(
        self,
        method: str,
        path: str,
        *,
        authorized: bool = True,
        total: float | None = None,
        idle: float | None = None,
        accept: tuple[int, ...] = (),
        headers: dict[str, str] | None = None,
        **options: Any,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """An answer of status 2xx, or one of `accept`.

        It must be complete within `total` seconds, and never pause for `idle` ones. Raises
        ObjectNotFoundError, ObjectTooLargeError, and StagingUnavailableError for everything else.
        """
        if self._session is None:
            raise StagingUnavailableError(f"the staging on {self.store} is not open")
        given = {**(headers or {}), **(self._authorization if authorized else {})}
        timeout = aiohttp.ClientTimeout(total, connect=_WAIT, sock_connect=_CONNECT, sock_read=idle)
        url = self._address.join(URL(f"/{path}", encoded=True))
        try:
            async with self._session.request(
                method, url, headers=given, timeout=timeout, allow_redirects=False, **options
            ) as answer:
                if MARK not in answer.headers:
                    reason = f"is none: something else answers there, with status {answer.status}"
                    raise StagingUnavailableError(f"{self.store} {reason}")
                if not 200 <= answer.status < 300 and answer.status not in accept:
                    await raise_failure(answer, self.store, path)
                yield answer
        except (aiohttp.ClientError, OSError) as error:
            raise StagingUnavailableError(f"{self.store} {_describe_failure(error)}") from error


async def raise_failure(answer: aiohttp.ClientResponse, store: str, path: str) -> None:
    """Raise the error of staging for an answer that is none of success."""
    if answer.status == 404:
        raise ObjectNotFoundError(path)
    if answer.status == TOO_LARGE:
        raise ObjectTooLargeError(int(answer.headers[SIZE]), int(answer.headers[ROOM]))
    if answer.status == FULL:
        kind = LargestObjectError if LARGEST in answer.headers else StagingFullError
        raise kind(f"{store} is full: {await _message(answer)}")
    if answer.status == 401:
        reason = "refuses the token: staging.polytope.token must be the same there and here"
    else:
        reason = f"answered with status {answer.status}: {await _message(answer)}"
    raise StagingUnavailableError(f"{store} {reason}")


class Upload:
    """Sends one object: the caller hands over a block while a task writes the one before it."""

    def __init__(self, connection: Connection, name: str, content_type: str, md5: str | None) -> None:
        """`md5` is the MD5 sum that the store shall find, in hex."""
        self._connection, self._name = connection, name
        self._headers = {"Content-Type": content_type} | ({"Content-MD5": md5} if md5 else {})
        self._sums = Sums(md5_up_to=0)
        self._blocks: asyncio.Queue[bytes] = asyncio.Queue(1)
        self._sending = asyncio.create_task(self._send_object())
        self._may_exist = False

    async def give(self, block: bytes) -> None:
        """Take the next block, which is not empty. Raises StagingUnavailableError, ChecksumError."""
        loop = asyncio.get_running_loop()
        summing = loop.run_in_executor(self._connection.threads, self._sums.update, block)
        await self._hand_over(block)
        await summing

    async def finish(self) -> dict[str, Any]:
        """What the store says of the object, which is complete. Raises as :meth:`give` does."""
        await self._hand_over(b"")
        try:
            async with asyncio.timeout(_SYNC):
                made = await self._sending
        except TimeoutError:
            reason = f"did not store {self._name} within {_SYNC:g} seconds"
            raise StagingUnavailableError(f"{self._connection.store} {reason}") from None
        if made["etag"] != self._sums.xxh3:
            reason = f"got other bytes for {self._name} than were sent"
            raise StagingUnavailableError(f"{self._connection.store} {reason}")
        return made

    async def give_up(self) -> None:
        """Leave nothing in the store, if it can be reached."""
        self._sending.cancel()
        await asyncio.gather(self._sending, return_exceptions=True)
        if not self._may_exist:
            return
        with suppress(ObjectNotFoundError, StagingUnavailableError):
            async with self._connection.call("DELETE", self._name, total=_GIVE_UP):
                pass

    async def _hand_over(self, block: bytes) -> None:
        if not self._blocks.full() and not self._sending.done():
            self._blocks.put_nowait(block)
            return
        handing = asyncio.ensure_future(self._blocks.put(block))
        try:
            done, _ = await asyncio.wait(
                {handing, self._sending}, timeout=IDLE, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            handing.cancel()
        if self._sending in done:
            self._sending.result()  # raises what ended it
        if not done:
            raise StagingUnavailableError(f"{self._connection.store} took no data for {IDLE:g} seconds")

    async def _send_object(self) -> dict[str, Any]:
        # Connects only when there is something to send: a data source may take hours to its first byte.
        first = await self._blocks.get()
        call = self._connection.call(
            "PUT", self._name, data=self._body(first), headers=self._headers, accept=(WRONG_SUM,)
        )
        try:
            async with call as answer:
                if answer.status == WRONG_SUM:
                    raise ChecksumError(await _message(answer))
                made: dict[str, Any] = await answer.json()
                return made
        except (StagingUnavailableError, ObjectNotFoundError, ObjectTooLargeError) as error:
            # With a cause it is the connection that failed; otherwise the store has said no.
            self._may_exist = self._may_exist and error.__cause__ is not None
            raise

    async def _body(self, block: bytes) -> AsyncIterator[bytes]:
        self._may_exist = True
        while block:
            yield block
            block = await self._blocks.get()


async def _message(answer: aiohttp.ClientResponse) -> str:
    try:
        return str(json.loads(await answer.content.read(_LONGEST_MESSAGE))["message"])
    except (ValueError, TypeError, LookupError):
        return answer.reason or "no message"


def _describe_failure(error: Exception) -> str:
    """What is wrong, for a sentence that begins with the store."""
    if isinstance(error, TimeoutError):
        return "does not answer in time"
    reason = getattr(error, "strerror", None)
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"cannot be reached: {reason or type(error).__name__}"
    return f"broke off the connection: {reason or type(error).__name__}"
