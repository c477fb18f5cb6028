"""The data source federated against the wire form of earlier servers, and against their mishaps."""

from __future__ import annotations

import base64
import hashlib
import json
import multiprocessing
import ssl
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from earlier_server import EarlierServer, unused_port

from polytope_server.datasource import GRIB, DataSourceError, Job, TemporaryError
from polytope_server.datasource.federated import FederatedDataSource, FederatedSettings
from testbed.waiting import until

SECRET = "of-two-servers-of-a-test"
DATA = bytes(range(256)) * 9000  # 2.2 MiB
REQUEST = {"class": "od", "param": "2t/msl", "where": [{"a": None}]}


@pytest.fixture
def peer() -> Iterator[EarlierServer]:
    with EarlierServer(DATA).serving() as server:
        yield server


def source_of(peer: EarlierServer, **settings: Any) -> FederatedDataSource:
    keys = {"url": peer.url, "secret": SECRET, "collection": "all", "outage": 20, "timeout": 5, **settings}
    return FederatedDataSource("there", FederatedSettings(**keys))


def job(request: Any = REQUEST, verb: str = "retrieve", **more: Any) -> Job:
    coerced = request if isinstance(request, dict) else {"data": request}
    return Job(str(uuid4()), verb, "", coerced, "alice", "test", **more)


def retrieve(source: FederatedDataSource, found: Job | None = None) -> tuple[bytes, str]:
    result = source.retrieve(found or job())
    return b"".join(result.chunks), result.content_type


@pytest.mark.parametrize("locations", ["relative", "absolute"])
def test_a_result_comes_by_locations_of_either_form(peer: EarlierServer, locations: str) -> None:
    peer.locations = locations
    assert retrieve(source_of(peer)) == (DATA, GRIB)
    assert peer.requests == {}  # removed when it had been read


def test_a_result_may_come_with_the_poll(peer: EarlierServer) -> None:
    peer.direct = True
    assert retrieve(source_of(peer)) == (DATA, GRIB)


def test_the_request_goes_as_its_user_with_where_it_was_before(peer: EarlierServer) -> None:
    found = job(via=("first-id", "second-id"))
    retrieve(source_of(peer), found)
    (call,) = peer.calls("POST", "/requests/all")
    body = json.loads(call.body)
    assert (body["verb"], json.loads(body["request"])) == ("retrieve", REQUEST)
    assert call.headers["Authorization"] == f"Federation {SECRET}:alice:test"
    assert call.headers["Polytope-Via"] == f"first-id, second-id, {found.request_id}"
    assert call.headers["Idempotency-Key"] == found.request_id
    assert call.headers["User-Agent"].startswith("polytope-server/")


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        ({"data": 1000}, "1000"),
        ("a text", "a text"),
        ({"data": "class: od"}, '{"data": "class: od"}'),
        ({"data": "a\tb: c"}, None),
    ],
)
def test_a_text_goes_as_text_unless_more_would_be_read_into_it(
    peer: EarlierServer, request_: Any, text: str | None
) -> None:
    retrieve(source_of(peer), job(request_))
    sent = json.loads(peer.calls("POST", "/requests/all")[0].body)["request"]
    assert sent == (text if text is not None else json.dumps(request_))


def test_what_the_other_server_says_is_said_to_the_user(peer: EarlierServer) -> None:
    said: list[tuple[str, str]] = []
    peer.message = "13 of 20 fields"
    retrieve(source_of(peer), job(tell=lambda kind, text: said.append((kind, text))))
    assert ("progress", "there: 13 of 20 fields") in said


def test_credentials_do_not_follow_a_result_to_another_server(peer: EarlierServer) -> None:
    with EarlierServer(DATA).serving() as other:
        peer.locations = f"{other.url}/downloads/bucket/object?X-Amz-Signature=1"
        assert retrieve(source_of(peer)) == (DATA, GRIB)
        (call,) = other.seen
    assert "Authorization" not in call.headers
    assert not {"Idempotency-Key", "Polytope-Via"} & call.headers.keys()


@pytest.mark.parametrize("location", ["ftp://127.0.0.1/x", "file:///etc/passwd", "http://[x/"])
def test_a_result_at_no_address_of_the_web_is_not_looked_for(peer: EarlierServer, location: str) -> None:
    peer.locations = location
    with pytest.raises(TemporaryError, match="an address that is none"):
        retrieve(source_of(peer))


def test_a_result_of_the_same_server_is_fetched_with_credentials(peer: EarlierServer) -> None:
    # Those of earlier servers are for their users only. Behind a proxy they may not know their own port.
    peer.locations = f"https://127.0.0.1/api/v1/downloads/{uuid4()}"
    assert retrieve(source_of(peer))[0] == DATA
    assert peer.calls("GET", "/downloads")[0].headers["Authorization"].startswith("Federation ")


# -- results that break off, or are not what was announced -----------------------------------------------


@pytest.mark.parametrize("knows_ranges", [True, False])
def test_a_result_goes_on_where_it_broke_off(peer: EarlierServer, knows_ranges: bool) -> None:
    peer.knows_ranges = knows_ranges
    peer.breaks = [1_000_000, 700_000, 0]
    assert retrieve(source_of(peer))[0] == DATA
    calls = peer.calls("GET", "/downloads")
    assert calls[1].headers["Range"].startswith("bytes=1")
    assert calls[1].headers["If-Range"] == '"1"'


def test_a_result_that_always_breaks_off_may_be_tried_again(peer: EarlierServer) -> None:
    peer.breaks = [1000, *[0] * 20]
    with pytest.raises(TemporaryError, match="broke off"):
        retrieve(source_of(peer))
    until(lambda: peer.requests == {})


def test_a_result_that_has_changed_meanwhile_is_not_put_together(peer: EarlierServer) -> None:
    peer.breaks = [1_000_000]
    result = source_of(peer).retrieve(job())
    chunks = iter(result.chunks)
    next(chunks)
    peer.etag = '"2"'
    with pytest.raises(TemporaryError, match="has changed"):
        list(chunks)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [("md5", hashlib.md5(b"other").hexdigest(), "MD5"), ("length", 5, "not the size that was announced")],
)
def test_a_result_that_was_announced_otherwise_is_refused(
    peer: EarlierServer, key: str, value: Any, said: str
) -> None:
    setattr(peer, key, value)
    with pytest.raises(TemporaryError, match=said):
        retrieve(source_of(peer))


def test_a_sum_may_be_in_base64(peer: EarlierServer) -> None:
    peer.md5 = base64.b64encode(hashlib.md5(DATA).digest()).decode()
    assert retrieve(source_of(peer))[0] == DATA
    peer.md5 = base64.b64encode(hashlib.md5(b"other").digest()).decode()
    with pytest.raises(TemporaryError, match="MD5"):
        retrieve(source_of(peer))


# -- outages, and answers that are lost --------------------------------------------------------------------


@pytest.mark.parametrize("where", ["POST /requests/all", "GET /requests/id", "GET /downloads"])
@pytest.mark.parametrize(
    "mishap", [(503, {"Retry-After": "0"}, b"x"), (429, {}, b"{}"), (502, {}, b"<html>"), "drop"], ids=str
)
def test_what_passes_is_waited_for(peer: EarlierServer, where: str, mishap: Any) -> None:
    peer.mishaps = [(where, mishap)]
    assert retrieve(source_of(peer))[0] == DATA
    assert peer.mishaps == []
    assert peer.requests == {}  # none was submitted twice, and left


def test_the_time_that_the_other_server_names_is_waited(peer: EarlierServer) -> None:
    peer.mishaps = [("GET /requests/id", (429, {"Retry-After": "1"}, b'{"message": "slow down"}'))]
    started = time.monotonic()
    retrieve(source_of(peer))
    assert time.monotonic() - started >= 1


def test_a_server_that_is_away_for_too_long_may_be_tried_again() -> None:
    keys = {"url": f"http://127.0.0.1:{unused_port()}", "secret": SECRET, "collection": "all", "outage": 0.3}
    with pytest.raises(TemporaryError, match=r"^there cannot be reached, or cannot answer, at the moment\.$"):
        retrieve(FederatedDataSource("there", FederatedSettings(**keys)))


def test_a_request_whose_answer_was_lost_is_found_again(peer: EarlierServer) -> None:
    peer.mishaps = [("POST /requests/all", "drop")]
    retrieve(source_of(peer))
    assert len(peer.calls("POST", "/requests/all")) == 1


def test_an_earlier_request_of_the_same_text_is_not_taken_for_it(peer: EarlierServer) -> None:
    # Given one of yesterday, and a submission that did not arrive
    earlier = peer.store(json.dumps(REQUEST, ensure_ascii=False), "retrieve")
    earlier.timestamp -= 86400
    peer.mishaps = [("POST /requests/all", (502, {}, b""))]
    retrieve(source_of(peer))
    # Then it is left alone
    assert list(peer.requests) == [earlier.id]


def test_a_server_that_keeps_keys_gets_the_same_submission_again(peer: EarlierServer) -> None:
    peer.keeps_keys = True
    source = source_of(peer)
    retrieve(source)
    peer.seen.clear()
    peer.mishaps = [("POST /requests/all", "drop")]
    retrieve(source)
    first, second = peer.calls("POST", "/requests/all")
    assert (first.body, first.headers["Idempotency-Key"]) == (second.body, second.headers["Idempotency-Key"])
    assert peer.calls("GET", "/requests/all") == []
    assert peer.requests == {}


def test_a_request_that_is_gone_is_submitted_again_and_not_for_ever(peer: EarlierServer) -> None:
    gone = (404, {}, b'{"message": "Request not found"}')
    peer.mishaps = [("GET /requests/id", gone)]
    assert retrieve(source_of(peer))[0] == DATA
    peer.mishaps = [("GET /requests/id", gone)] * 9
    with pytest.raises(TemporaryError, match=r"^The request is no longer at there\.$"):
        retrieve(source_of(peer))


def test_of_a_process_that_dies_before_it_knows_the_id_nothing_is_left(peer: EarlierServer) -> None:
    peer.held.clear()
    source, found = source_of(peer), job()
    process = multiprocessing.get_context("fork").Process(target=retrieve, args=(source, found))
    process.start()
    until(lambda: peer.requests)
    process.kill()
    process.join()
    until(lambda: peer.requests == {})


# -- failures ----------------------------------------------------------------------------------------------


def test_a_failure_is_the_users_and_stays_there(peer: EarlierServer) -> None:
    peer.failure = "no such field"
    with pytest.raises(DataSourceError, match=r"^no such field$"):
        retrieve(source_of(peer))
    assert len(peer.requests) == 1


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (400, b'{"message": "key a: x is not accepted"}', "^key a: x is not accepted$"),
        (403, b"", r"^there refuses the request with status 403\.$"),
        (
            401,
            b'{"message": "Invalid credentials"}',
            "users of the realm 'test'. It says: Invalid credentials",
        ),
        (400, b'{"message": "' + b"y" * 50_000 + b'"}', r"^y{1000} \.\.\.$"),
        (501, b'{"message": "not set up"}', "^not set up$"),
    ],
)
def test_a_refusal_is_final(peer: EarlierServer, status: int, body: bytes, message: str) -> None:
    peer.mishaps = [("POST /requests/all", (status, {"Content_Type": "application/json"}, body))]
    with pytest.raises(DataSourceError, match=message):
        retrieve(source_of(peer))
    assert len(peer.seen) == 1


@pytest.mark.parametrize(
    ("username", "realm"),
    [
        ("bob:admins", "test"),
        ("bob, Basic YTpi", "test"),
        ("", "test"),
        ("bob", "a,b"),
        (" bob", "test"),
        ("b", "r\n"),
    ],
)
def test_a_name_that_would_be_read_as_another_is_not_passed_on(
    peer: EarlierServer, username: str, realm: str
) -> None:
    with pytest.raises(DataSourceError, match="cannot be passed on to another server"):
        retrieve(source_of(peer), replace(job(), username=username, realm=realm))
    assert peer.seen == []


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate of 127.0.0.1 with its key, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(1), now + timedelta(1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file = tmp_path / "certificate.pem"
    file.write_bytes(made.public_bytes(pem) + secret)
    return file


def test_a_certificate_that_cannot_be_verified_gets_no_secret(certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = EarlierServer(DATA)
    server.encrypt(context)
    with server.serving():
        with pytest.raises(TemporaryError, match=r"^The certificate of there cannot be verified\.$"):
            retrieve(source_of(server))
        assert server.seen == []
        # With the file that has it, it can
        assert retrieve(source_of(server, ca_file=str(certificate)))[0] == DATA


# -- archives ----------------------------------------------------------------------------------------------


def archive(peer: EarlierServer) -> None:
    source_of(peer).archive(job({"class": "od"}, "archive"), iter([DATA[:1_000_000], DATA[1_000_000:]]))


@pytest.mark.parametrize("mishap", [None, "drop", (503, {}, b"")], ids=str)
def test_an_upload_is_sent_until_it_is_there(peer: EarlierServer, mishap: Any) -> None:
    peer.mishaps = [("POST /uploads", mishap)] if mishap else []
    archive(peer)
    (found,) = peer.requests.values()
    assert (found.verb, found.upload) == ("archive", DATA)
    call = peer.calls("POST", "/uploads")[0]
    assert (call.headers["X-Checksum"], call.headers["Content-Length"]) == (peer.md5, str(len(DATA)))


def test_a_refused_upload_is_the_users_failure(peer: EarlierServer) -> None:
    peer.mishaps = [("POST /uploads", (413, {}, b'{"message": "The upload is larger than 5 bytes"}'))]
    with pytest.raises(DataSourceError, match=r"^The upload is larger than 5 bytes$"):
        archive(peer)
