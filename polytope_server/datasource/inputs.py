"""Where the input of an archive request comes from: an upload in staging, or an allowed host."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import requests

from polytope_server.datasource import DataSourceError, TemporaryError
from polytope_server.redaction import redactor
from polytope_server.request import Input, Upload
from polytope_server.staging import Staging

_CHUNK = 64 << 10
#: Seconds in which a chunk, or the rest, must come: that is 1 kB/s.
_CHUNK_TIME = 65.0
#: A pool of its own: hosts that are slow hold up nothing but each other.
_threads = ThreadPoolExecutor(16, thread_name_prefix="input")
_TIMEOUT = (10, 60)


def refusal(url: str, hosts: Collection[str]) -> str | None:
    """Why an input address is not allowed, None if it is.

    Only http(s) addresses of the listed hosts are: the worker must not be led to other hosts.
    """
    shown = redactor.redact(url)[:200]
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return f"The input URL {shown!r} is not a valid address"
    if parts.scheme not in ("http", "https") or not host or parts.username is not None:
        return f"The input URL {shown!r} is not an http or https address without credentials"
    if host not in hosts:
        return f"The input host {host!r} is not allowed on this server"
    return None


async def open_input(
    source: Input, staging: Staging, hosts: Collection[str], limit: int
) -> AsyncIterator[bytes]:
    """The bytes of an input, at most `limit` from an address. Raises DataSourceError and TemporaryError."""
    if isinstance(source, Upload):
        async for chunk in staging.read(source.name):
            yield chunk
        return
    url = source.url
    if reason := refusal(url, hosts):
        raise DataSourceError(reason)
    size = 0
    session = requests.Session()
    session.trust_env = False
    try:
        loop = asyncio.get_running_loop()
        response = await loop.run_in_executor(_threads, _get, session, url)
        chunks = response.iter_content(_CHUNK)
        while chunk := await _next(response, chunks):
            size += len(chunk)
            if size > limit:
                raise DataSourceError(f"The input is larger than {limit} bytes")
            yield chunk
    except requests.RequestException as error:
        raise TemporaryError("The input URL could not be read.") from error
    finally:
        session.close()


async def _next(response: requests.Response, chunks: Iterator[bytes]) -> bytes:
    """The next of the chunks of a response, none at the end. Raises TemporaryError if it comes too slowly."""
    loop = asyncio.get_running_loop()
    started = asyncio.Event()

    def read() -> bytes:
        loop.call_soon_threadsafe(started.set)
        return next(chunks, b"")

    reading = loop.run_in_executor(_threads, read)
    try:
        # Waiting for a thread is no fault of the host.
        await started.wait()
        async with asyncio.timeout(_CHUNK_TIME):
            return await reading
    except TimeoutError:
        # The thread reads on until there is nothing to read. Before version 2.3 urllib3 cannot say so.
        getattr(response.raw, "shutdown", response.close)()
        raise TemporaryError("The input URL sends too slowly.") from None
    finally:
        reading.cancel()


def _get(session: requests.Session, url: str) -> requests.Response:
    # No redirects: they could lead to a host that is not allowed.
    response = session.get(url, stream=True, timeout=_TIMEOUT, allow_redirects=False)
    if response.status_code >= 500:
        raise TemporaryError(f"The input URL answered with status {response.status_code}.")
    if response.status_code != 200:
        raise DataSourceError(f"The input URL answered with status {response.status_code}")
    return response
