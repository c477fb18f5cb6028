"""The data source http, against a server of the standard library in this process."""

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pydantic
import pytest

from polytope_server.datasource import COVERAGE_JSON, OCTET_STREAM, DataSourceError, TemporaryError
from polytope_server.datasource.http import HTTPDataSource, HTTPSettings
from polytope_server.language import Judgement, SourceRules, coerce, parse
from polytope_server.testing.datasource import DataSourceContract, job

DATA = bytes(range(256)) * 9000  # 2.2 MiB


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.server.seen.append((self.path, self.headers, self.read_body()))
        getattr(self, self.path.strip("/").partition("/")[0])()

    def read_body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in {"Content_Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def data(self):
        self.answer(200, DATA, Content_Type=f"{COVERAGE_JSON}; charset=utf-8")

    def plain(self):
        self.answer(200, b"no type")

    def empty(self):
        self.answer(200)

    def chunked(self):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")

    def unfinished(self):
        self.close_connection = True
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"3\r\nabc\r\n")

    def short(self):
        self.close_connection = True
        self.answer(200, b"only this", Content_Length="1000")

    def compressed(self):
        self.answer(200, b"\x1f\x8b", Content_Encoding="gzip")

    def refused(self):
        self.answer(400, json.dumps({"message": "no such parameter"}).encode())

    def refused_plainly(self):
        self.answer(404, b"nothing here")

    def refused_mutely(self):
        self.answer(403)

    def refused_at_length(self):
        self.answer(400, json.dumps({"message": "y" * 50_000}).encode())

    def refused_and_gone(self):
        self.close_connection = True
        self.answer(400, b"4", Content_Length="1000")

    def busy(self):
        self.answer(429)

    def broken(self):
        self.answer(500, b'{"message": "traceback of /secret"}')

    def moved(self):
        self.answer(302, Location="/data")

    def created(self):
        self.answer(201)

    def silent(self):
        self.server.release.wait(30)
        self.close_connection = True

    def stalling(self):
        self.answer(200, b"abc", Content_Length="1000")
        self.wfile.flush()
        self.silent()

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    # As in socketserver: a client that hung up is no failure of the test.
    def handle_error(self, request, client_address):
        pass


@pytest.fixture(scope="module")
def running():
    server = Server(("127.0.0.1", 0), Handler)
    server.release = threading.Event()
    server.seen = []
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.release.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def service(running):
    running.seen.clear()
    return running


@pytest.fixture
def make(service):
    def make(path, **settings):
        url = f"http://127.0.0.1:{service.server_port}/{path}"
        return HTTPDataSource("remote", HTTPSettings(url=url, **settings))

    return make


def read(source, request="x"):
    result = source.retrieve(job(request))
    return b"".join(result.chunks), result.content_type


class TestContract(DataSourceContract):
    @pytest.fixture
    def source(self, make):
        return make("data")

    @pytest.fixture
    def good(self):
        return job({"a": "1"})

    @pytest.fixture
    def expected(self):
        return DATA, COVERAGE_JSON


class TestArchivingContract(TestContract):
    @pytest.fixture
    def source(self, make):
        return make("data", archive=True)


def test_a_mapping_goes_out_as_json(make, service):
    read(make("data", headers={"X-Key": "abc"}), {"param": "2t", "step": [0, 6]})
    path, headers, body = service.seen[0]
    assert (path, json.loads(body)) == ("/data", {"param": "2t", "step": [0, 6]})
    assert headers["Content-Type"] == "application/json"
    assert headers["X-Key"] == "abc"
    assert headers["Accept-Encoding"] == "identity"


def test_nested_mappings_and_lists_go_out_as_they_came(make, service):
    nested = {"where": {"station": [1, {"x": None}], "deep": [[1.5, True], []]}, "points": [[1, 2], [3, 4]]}
    judgement = Judgement(coerce(parse(json.dumps(nested))), realm="r", user_roles=())
    read(make("data"), judgement.match(SourceRules(accepts_mappings=HTTPDataSource.accepts_mappings)).request)
    assert json.loads(service.seen[0][2]) == nested


def test_a_text_goes_out_as_text(make, service):
    read(make("data"), "grüße")
    _, headers, body = service.seen[0]
    assert body.decode() == "grüße"
    assert headers["Content-Type"] == "text/plain; charset=utf-8"


def test_the_configured_content_types_win(make, service):
    source = make("data", headers={"Content-Type": "application/x-own"}, content_type="application/x-grib")
    assert read(source)[1] == "application/x-grib"
    assert service.seen[0][1]["Content-Type"] == "application/x-own"


def test_neither_proxies_nor_netrc_of_the_account_are_used(make, service, monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    read(make("data"))
    assert "Authorization" not in service.seen[0][1]


@pytest.mark.parametrize(
    ("path", "data"), [("plain", b"no type"), ("empty", b""), ("chunked", b"abcde")], ids=str
)
def test_an_answer_without_a_media_type_is_bytes(make, path, data):
    assert read(make(path)) == (data, OCTET_STREAM)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("refused", "^no such parameter$"),
        ("refused_plainly", "^nothing here$"),
        ("refused_mutely", "^remote refuses the request with status 403.$"),
        ("refused_at_length", "^y{1000} ...$"),
        ("refused_and_gone", "."),
        ("moved", "unexpected status 302"),
        ("created", "unexpected status 201"),
        ("compressed", "gzip"),
    ],
)
def test_what_no_repetition_would_change_is_a_failure(make, service, path, message):
    with pytest.raises(DataSourceError, match=message):
        read(make(path))
    assert len(service.seen) == 1


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("busy", "status 429"),
        ("broken", r"^remote fails at the moment, with status 500\.$"),
        ("short", "broke off"),
        ("unfinished", "broke off"),
    ],
)
def test_what_may_go_away_is_tried_again(make, path, message):
    with pytest.raises(TemporaryError, match=message):
        read(make(path))


@pytest.mark.parametrize(
    ("path", "message"), [("silent", "cannot be reached"), ("stalling", "broke off")], ids=str
)
def test_a_time_out_is_tried_again(make, path, message):
    with pytest.raises(TemporaryError, match=message):
        read(make(path, timeout=0.2))


def test_a_refused_connection_is_tried_again():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/"
        with pytest.raises(TemporaryError, match=r"^remote cannot be reached at the moment\.$"):
            read(HTTPDataSource("remote", HTTPSettings(url=url)))


@pytest.mark.parametrize("path", ["created", "empty"])
def test_any_2xx_means_archived(make, service, path):
    make(path, archive=True).archive(job({}, verb="archive"), [b"ab", b"", b"c"])
    assert service.seen[0][2] == b"abc"
    assert service.seen[0][1]["Content-Type"] == OCTET_STREAM


def test_the_upload_is_streamed(make, service):
    asked = []

    def chunks():
        for number in range(3):
            asked.append(number)
            yield bytes(1000)

    make("created", archive=True).archive(job({}, verb="archive"), chunks())
    assert asked == [0, 1, 2]
    assert service.seen[0][1]["Transfer-Encoding"] == "chunked"


def test_a_refused_upload_is_a_failure(make):
    with pytest.raises(DataSourceError, match="no such parameter"):
        make("refused", archive=True).archive(job({}, verb="archive"), [b"abc"])


@pytest.mark.parametrize("url", ["ftp://host/", "host/path", "http:///path", "file:///etc/passwd"])
def test_only_urls_of_the_web_are_accepted(url):
    with pytest.raises(pydantic.ValidationError, match="must be a URL"):
        HTTPSettings(url=url)
