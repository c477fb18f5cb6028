"""The data source ionbeam, against a server of the standard library in this process."""

from __future__ import annotations

import email
import json
import threading
from collections.abc import Callable, Iterator
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pydantic
import pytest

from polytope_server.datasource import OCTET_STREAM, DataSource, DataSourceError, Job, TemporaryError
from polytope_server.datasource.ionbeam import IonBeamDataSource, IonBeamSettings
from polytope_server.testing.datasource import DataSourceContract, job

DATA = bytes(range(256)) * 9000  # 2.2 MiB
KEYS = {"platform": "acronet", "start_time": "2026-01-01T00:00:00Z", "filter": "a > 1 AND b = 'x&y'"}


class Service:
    """Answers with `answer`, if one is given, else with the data; remembers what came in."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, dict[str, str], Any, bytes]] = []
        self.answer: tuple[int, bytes, dict[str, str]] | None = None
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_call(self) -> None:
                parts = urlsplit(self.path)
                body = self.read_chunks() if self.headers.get("Transfer-Encoding") == "chunked" else b""
                parameters = dict(parse_qsl(parts.query, keep_blank_values=True))
                service.seen.append((self.command, parts.path, parameters, self.headers, body))
                status, data, headers = service.answer or (200, DATA, {"Content-Type": "text/csv"})
                self.send_response(status)
                for name, value in {"Content-Length": str(len(data)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)
                self.close_connection = "Content-Length" in headers

            do_GET = do_POST = do_call

            def read_chunks(self) -> bytes:
                body = b""
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return body

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/api/v1"


@pytest.fixture(scope="module")
def running() -> Iterator[Service]:
    service = Service()
    thread = threading.Thread(target=service.server.serve_forever, args=(0.01,))
    thread.start()
    yield service
    service.server.shutdown()
    thread.join()
    service.server.server_close()


@pytest.fixture
def service(running: Service) -> Service:
    running.seen.clear()
    running.answer = None
    return running


@pytest.fixture
def make(service: Service) -> Callable[..., IonBeamDataSource]:
    def make(**settings: Any) -> IonBeamDataSource:
        return IonBeamDataSource("beam", IonBeamSettings(**{"api_endpoint": service.url, **settings}))

    return make


class TestContract(DataSourceContract):
    @pytest.fixture
    def source(self, make: Callable[..., IonBeamDataSource]) -> DataSource:
        return make()

    @pytest.fixture
    def good(self) -> Job:
        return job(KEYS)

    @pytest.fixture
    def expected(self) -> tuple[bytes, str]:
        return DATA, OCTET_STREAM

    @pytest.fixture
    def bad(self) -> Job:
        return job("no keys at all")

    @pytest.fixture
    def archive_job(self) -> Job:
        return job(KEYS, verb="archive")


@pytest.mark.parametrize("slash", ["", "/"])
def test_keys_of_a_request_are_parameters_of_the_call(
    make: Callable[..., IonBeamDataSource], service: Service, slash: str
) -> None:
    source = make(api_endpoint=f"{service.url}{slash}")
    b"".join(source.retrieve(job({**KEYS, "number": 1, "flag": True})).chunks)
    method, path, parameters, headers, _ = service.seen[0]
    assert (method, path) == ("GET", "/api/v1/retrieve")
    assert parameters == {**KEYS, "number": "1", "flag": "true"}
    assert headers["Accept"] == OCTET_STREAM


def test_an_upload_is_the_file_of_a_form_and_is_streamed(
    make: Callable[..., IonBeamDataSource], service: Service
) -> None:
    asked = []

    def chunks() -> Iterator[bytes]:
        for start in range(0, len(DATA), 1 << 20):
            asked.append(start)
            yield DATA[start : start + (1 << 20)]
        yield b""

    make().archive(job(KEYS, verb="archive"), chunks())
    method, path, parameters, headers, body = service.seen[0]
    assert (method, path, parameters) == ("POST", "/api/v1/archive", KEYS)
    assert (headers["Transfer-Encoding"], len(asked)) == ("chunked", 3)
    head = f"Content-Type: {headers['Content-Type']}\r\n\r\n".encode()
    (part,) = email.message_from_bytes(head + body, policy=HTTP).iter_parts()
    assert (part.get_content_disposition(), part.get_param("name", header="content-disposition")) == (
        *("form-data", "file"),
    )
    assert body.split(b"\r\n\r\n", 1)[1].rpartition(b"\r\n--")[0] == DATA


@pytest.mark.parametrize(
    ("request_", "verb", "said"),
    [
        (
            {"path": "/etc/passwd", "platform": "x"},
            "archive",
            "key 'path' is not accepted: no file of the server",
        ),
        ({"keys": {"platform": "x"}, "path": "/x"}, "archive", "key 'keys' is not accepted"),
        ({"data": "some text"}, "retrieve", "expected keys with values"),
        ({"filter": ["a"]}, "retrieve", "expected a text or a number"),
        ({"platform": None}, "retrieve", "key 'platform': None is not accepted"),
        ({"filter": "x" * 7000}, "retrieve", "have 7000 characters; at most 6000"),
    ],
)
def test_what_could_not_be_sent_is_refused_at_the_door_and_later(
    make: Callable[..., IonBeamDataSource], service: Service, request_: Any, verb: str, said: str
) -> None:
    source = make()
    check = IonBeamDataSource.request_check(source.settings)
    assert check is not None
    with pytest.raises(DataSourceError, match=said):
        check(request_, verb)
    found = job(request_, verb=verb)
    with pytest.raises(DataSourceError, match=said):
        source.archive(found, [b"x"]) if verb == "archive" else source.retrieve(found)
    assert service.seen == []


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (400, {"detail": "platform parameter is required"}, "^platform parameter is required$"),
        (422, {"detail": [{"loc": ["query", "format"], "msg": "no"}]}, '"loc": .*"format"'),
        (404, {"message": "no such station"}, "^no such station$"),
        (403, "y" * 50_000, r"^y{1000} \.\.\.$"),
        (403, "", r"^beam refuses the request with status 403\.$"),
        (302, "", "unexpected status 302"),
    ],
)
def test_a_refusal_is_the_users_failure(
    make: Callable[..., IonBeamDataSource], service: Service, status: int, body: Any, message: str
) -> None:
    text = body if isinstance(body, str) else json.dumps(body)
    service.answer = (status, text.encode(), {"Location": f"{service.url}/elsewhere"})
    with pytest.raises(DataSourceError, match=message):
        make().retrieve(job(KEYS))
    with pytest.raises(DataSourceError, match=message):
        make().archive(job(KEYS, verb="archive"), [b"x"])


@pytest.mark.parametrize("status", [500, 503, 429])
def test_what_may_go_away_is_tried_again_and_not_shown(
    make: Callable[..., IonBeamDataSource], service: Service, status: int
) -> None:
    service.answer = (status, b'{"detail": "traceback of /secret"}', {})
    with pytest.raises(TemporaryError, match=rf"^beam fails at the moment, with status {status}\.$"):
        make().retrieve(job(KEYS))


def test_an_answer_that_breaks_off_is_tried_again(
    make: Callable[..., IonBeamDataSource], service: Service
) -> None:
    service.answer = (200, b"only this", {"Content-Length": "1000"})
    with pytest.raises(TemporaryError, match="broke off"):
        b"".join(make().retrieve(job(KEYS)).chunks)


def test_a_service_that_is_not_there_is_tried_again(make: Callable[..., IonBeamDataSource]) -> None:
    with pytest.raises(TemporaryError, match=r"^beam cannot be reached at the moment\.$"):
        make(api_endpoint="http://127.0.0.1:1/api").retrieve(job(KEYS))


@pytest.mark.parametrize("address", ["ftp://host/", "host", "http://host/?a=b", "http://u:p@host/"])
def test_only_addresses_of_a_rest_api_are_accepted(address: str) -> None:
    with pytest.raises(pydantic.ValidationError):
        IonBeamSettings(api_endpoint=address)


def test_the_default_is_that_of_earlier_servers_without_the_slash() -> None:
    assert IonBeamSettings().api_endpoint == "http://iotdev-001:18201/api/v1"
