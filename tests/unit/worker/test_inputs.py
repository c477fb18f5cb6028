import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests

from polytope_server.datasource import DataSourceError, TemporaryError, inputs
from polytope_server.datasource.inputs import open_input, refusal
from polytope_server.request import Address, Input, Upload
from polytope_server.staging import Staging
from polytope_server.staging.local import LocalStaging, LocalStagingSettings
from polytope_server.staging.names import new_object_name
from polytope_server.testing.staging import chunked
from polytope_server.testing.waiting import until

HOSTS = ["127.0.0.1"]


class Handler(BaseHTTPRequestHandler):
    #: When the answer of `/200?slow` ends.
    ended = threading.Event()

    def do_GET(self) -> None:
        if self.path == "/200?slow":
            self._dribble()
            return
        status = int(self.path.strip("/").partition("?")[0])
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/200")
        self.send_header("Content-Length", "3000000")
        self.end_headers()
        self.wfile.write(b"x" * (1000 if self.path.endswith("?short") else 3_000_000))

    def _dribble(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "3000000")
        self.end_headers()
        try:
            while not self.ended.wait(0.01):
                self.wfile.write(b"x")
        except ConnectionError:
            self.ended.set()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
async def staging(tmp_path: Path) -> AsyncIterator[Staging]:
    staging = LocalStaging(LocalStagingSettings(), tmp_path)
    await staging.open()
    yield staging
    await staging.close()


async def read(source: Input | str, staging: Staging, limit: int = 1 << 30) -> bytes:
    chosen = Address(source) if isinstance(source, str) else source
    return b"".join([chunk async for chunk in open_input(chosen, staging, HOSTS, limit)])


async def test_an_uploaded_input_comes_from_staging(staging: Staging) -> None:
    made = await staging.create(new_object_name("r", ""), chunked([b"a", b"b"]), "x/y")
    assert await read(Upload(made.name), staging) == b"ab"


async def test_an_input_of_an_allowed_host_is_fetched(url: str, staging: Staging) -> None:
    assert await read(f"{url}/200", staging) == b"x" * 3_000_000


@pytest.mark.parametrize(
    ("path", "error", "message"),
    [
        ("/404", DataSourceError, "status 404"),
        ("/302", DataSourceError, "status 302"),
        ("/503", TemporaryError, "status 503"),
        ("/200?short", TemporaryError, "could not be read"),
    ],
)
async def test_another_answer_is_an_error(
    url: str, staging: Staging, path: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        await read(f"{url}{path}", staging)


async def test_an_input_that_dribbles_is_given_up(
    url: str, staging: Staging, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "_CHUNK_TIME", 0.1)
    with pytest.raises(TemporaryError, match="too slowly"):
        await read(f"{url}/200?slow", staging)
    # No thread reads on: the host sees the connection end.
    assert await asyncio.to_thread(Handler.ended.wait, 20)


async def test_the_time_of_a_host_begins_when_there_is_a_thread_for_it(
    url: str, staging: Staging, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, busy, timed = threading.Event(), [], []

    class Response(requests.Response):
        def iter_content(self, *_: Any, **__: Any) -> Iterator[bytes]:
            busy.append(threads.submit(go_on.wait, 20))  # others take the only thread
            return iter([b"x"])

    def timeout(delay: float) -> asyncio.Timeout:
        if delay == inputs._CHUNK_TIME:  # not that of the test
            timed.append(go_on.is_set())
        return asyncio.timeouts.timeout(delay)

    monkeypatch.setattr(inputs, "_get", lambda *_: Response())
    monkeypatch.setattr(asyncio, "timeout", timeout)
    with ThreadPoolExecutor(1) as threads:
        monkeypatch.setattr(inputs, "_threads", threads)
        reading = asyncio.create_task(read(f"{url}/200", staging))
        await until(lambda: bool(busy))
        go_on.set()
        assert await reading == b"x"
    assert timed == [True, True]


async def test_an_input_that_is_too_large_is_refused(url: str, staging: Staging) -> None:
    with pytest.raises(DataSourceError, match="larger than 1000000 bytes"):
        await read(f"{url}/200", staging, limit=1_000_000)


@pytest.mark.parametrize(
    "bad",
    [
        "http://localhost/x",
        "http://169.254.169.254/latest",
        "file:///etc/passwd",
        "ftp://127.0.0.1/x",
        "http://user:secret@127.0.0.1/x",
        "http://127.0.0.1:port/x",
        "http://[::1/x",
        "//127.0.0.1/x",
        "staging",
        "staging:r/1.bin",
    ],
)
async def test_an_address_outside_of_the_list_is_refused(staging: Staging, bad: str) -> None:
    assert refusal(bad, HOSTS) is not None
    with pytest.raises(DataSourceError):
        await read(bad, staging)


def test_without_a_list_no_host_is_allowed() -> None:
    assert refusal("http://127.0.0.1/x", []) is not None
    assert refusal("http://127.0.0.1:8080/x", HOSTS) is None
