"""Downloads of REST API v1: results, ranges, links (docs/rest-api.md)."""

from __future__ import annotations

import email
import email.policy
import re
from urllib.parse import urljoin

import pytest
import requests
from answers import ALICE, BOB, UNKNOWN, Callers, lasting_headers, md5, message
from caller import Caller

from testbed.server import StandaloneServer

TEXT = "".join(f"line {n}\n" for n in range(5_000))
DATA = TEXT.encode()


@pytest.fixture(scope="module")
def link(server: StandaloneServer) -> str:
    """The address of a result that holds `DATA`."""
    session = server.session("alice")
    answer = server.poll(session, server.submit(session, "echo", TEXT))
    return str(answer.headers["Location"].removeprefix(".."))


def test_a_result_is_public_whole_and_described(nobody: Caller, link: str) -> None:
    answer = nobody.get(link, headers={"Accept-Encoding": "gzip, deflate, br, zstd"})
    assert answer.status_code == 200
    assert answer.content == DATA
    request_id = link.split("/")[2]
    expected = {
        "content-type": "application/octet-stream",
        "content-length": str(len(DATA)),
        "content-md5": md5(DATA),
        "content-disposition": f'attachment; filename="{request_id}.bin"',
        "accept-ranges": "bytes",
    }
    assert expected.items() <= lasting_headers(answer).items()
    assert not {"content-encoding", "transfer-encoding"} & set(lasting_headers(answer))
    assert re.fullmatch('"[^"]+"', answer.headers["ETag"])


@pytest.mark.parametrize("header", [ALICE, BOB, "Basic wrong", "nonsense"])
def test_a_result_may_be_fetched_with_any_credentials(call: Callers, link: str, header: str) -> None:
    assert call(None, Authorization=header).get(link).content == DATA


@pytest.mark.parametrize(("size", "extension"), [(0, "grib"), (1, "grib"), (3_000_001, "grib")])
def test_results_of_all_sizes_come_whole(alice: Caller, size: int, extension: str) -> None:
    link = alice.link("dummy", str(size))
    answer = alice.get(link)
    assert answer.headers["Content-Length"] == str(size)
    assert answer.headers["Content-Type"] == "application/x-grib"
    assert answer.headers["Content-Disposition"].endswith(f'.{extension}"')
    assert answer.content == b"x" * size


def test_head_of_a_result_is_get_without_the_bytes(nobody: Caller, link: str) -> None:
    get, head = nobody.get(link), nobody("HEAD", link)
    assert (head.status_code, head.content) == (200, b"")
    assert lasting_headers(head) == lasting_headers(get)
    assert head.headers["Content-Length"] == str(len(DATA))


def test_head_takes_no_range(nobody: Caller, link: str) -> None:
    head = nobody("HEAD", link, headers={"Range": "bytes=0-9"})
    assert (head.status_code, head.headers["Content-Length"]) == (200, str(len(DATA)))


N = len(DATA)


@pytest.mark.parametrize(
    ("wanted", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=0-99", 0, 99),
        ("bytes=100-", 100, N - 1),
        (f"bytes={N - 1}-", N - 1, N - 1),
        ("bytes=-1", N - 1, N - 1),
        ("bytes=-100", N - 100, N - 1),
        (f"bytes=-{N + 5}", 0, N - 1),
        (f"bytes=5-{N + 1000}", 5, N - 1),
        ("bytes=7000-14000", 7000, 14000),
    ],
)
def test_a_range_gives_those_bytes(nobody: Caller, link: str, wanted: str, first: int, last: int) -> None:
    answer = nobody.get(link, headers={"Range": wanted})
    assert answer.status_code == 206
    assert answer.content == DATA[first : last + 1]
    assert answer.headers["Content-Range"] == f"bytes {first}-{last}/{N}"
    assert answer.headers["Content-Length"] == str(last + 1 - first)
    assert answer.headers["Content-Type"] == "application/octet-stream"


@pytest.mark.parametrize("wanted", [f"bytes={N}-", f"bytes={N}-{N + 5}", "bytes=-0", "bytes=99999999999999-"])
def test_a_range_outside_of_the_result_is_416(nobody: Caller, link: str, wanted: str) -> None:
    answer = nobody.get(link, headers={"Range": wanted})
    assert answer.status_code == 416
    assert answer.headers["Content-Range"] == f"bytes */{N}"


@pytest.mark.parametrize(
    "wanted", ["bytes=-", "bytes=5-4", "bytes=0-1,5-4", "lines=0-1", "bytes", "bytes=a-b", "bytes=0x1-2", ""]
)
def test_a_range_that_is_none_is_ignored(nobody: Caller, link: str, wanted: str) -> None:
    answer = nobody.get(link, headers={"Range": wanted})
    assert (answer.status_code, answer.content) == (200, DATA)


def test_several_ranges_are_parts_of_one_answer(nobody: Caller, link: str) -> None:
    answer = nobody.get(link, headers={"Range": f"bytes=0-99, 200-299,-5,{N}-"})
    assert answer.status_code == 206
    assert answer.headers["Content-Length"] == str(len(answer.content))
    assert "Content-Range" not in answer.headers
    assert parts_of(answer) == [
        (f"bytes {first}-{last}/{N}", "application/octet-stream", DATA[first : last + 1])
        for first, last in ((0, 99), (200, 299), (N - 5, N - 1))
    ]


def parts_of(answer: requests.Response) -> list[tuple[str, str, bytes]]:
    """Content-Range, Content-Type and data of each part."""
    message = email.message_from_bytes(
        f"Content-Type: {answer.headers['Content-Type']}\r\n\r\n".encode() + answer.content,
        policy=email.policy.HTTP,
    )
    return [
        (part["Content-Range"], part.get_content_type(), part.get_payload(decode=True))
        for part in message.iter_parts()
    ]


def test_a_range_can_depend_on_the_version(nobody: Caller, link: str) -> None:
    etag = nobody("HEAD", link).headers["ETag"]
    same = nobody.get(link, headers={"Range": "bytes=0-9", "If-Range": etag})
    assert (same.status_code, same.content) == (206, DATA[:10])
    for other in ('"other"', f"W/{etag}", "Mon, 01 Jan 2024 00:00:00 GMT"):
        answer = nobody.get(link, headers={"Range": "bytes=0-9", "If-Range": other})
        assert (answer.status_code, answer.content) == (200, DATA)


def test_a_result_that_the_client_has_is_not_sent_again(nobody: Caller, link: str) -> None:
    etag = nobody("HEAD", link).headers["ETag"]
    for known in (etag, f'"x", {etag}', f"W/{etag}", "*"):
        answer = nobody.get(link, headers={"If-None-Match": known})
        assert (answer.status_code, answer.content, answer.headers["ETag"]) == (304, b"", etag), known
    assert nobody.get(link, headers={"If-None-Match": '"other"'}).content == DATA


@pytest.mark.parametrize(
    "name",
    [f"{UNKNOWN}/0123456789abcdef0123456789abcdef.bin", f"{UNKNOWN}/..%2f..%2fconfig.yaml", "..%2f../x.bin",
     "%2e%2e/config.yaml", f"{UNKNOWN}/x", f"{UNKNOWN}/%00.bin"],
)  # fmt: skip
def test_a_link_that_leads_nowhere_is_404(nobody: Caller, name: str) -> None:
    assert nobody.get(f"/downloads/{name}").status_code == 404


def test_the_staged_bytes_are_not_found_without_the_token(nobody: Caller, link: str) -> None:
    request_id = link.split("/")[2]
    assert nobody.get(f"/downloads/{request_id}/{'0' * 32}.bin").status_code == 404
    assert nobody.get(f"{link}.meta").status_code == 404


def test_the_owner_is_led_from_the_id_to_the_link(alice: Caller, nobody: Caller, link: str) -> None:
    request_id = link.split("/")[2]
    assert nobody.get(f"/downloads/{request_id}").status_code == 401
    answer = alice.get(f"/downloads/{request_id}")
    assert answer.status_code == 303
    assert urljoin(answer.url, answer.headers["Location"]) == f"{alice.server.url}{link}"


def test_the_id_of_what_is_no_result_leads_nowhere(alice: Caller) -> None:
    waiting = alice.submit("held", "x")
    failed = alice.submit("raise", "x")
    alice.end_of(failed)
    for request_id in (waiting, failed):
        answer = alice.get(f"/downloads/{request_id}")
        assert message(answer) == (400, f"Request {request_id} not ready for download yet")
    archive = alice.submit("echo", "x", "archive")
    assert message(alice.get(f"/downloads/{archive}")) == (400, f"Request {archive} is not a download")
    assert message(alice.get(f"/downloads/{UNKNOWN}")) == (404, f"Request {UNKNOWN} not found")


def test_a_result_whose_meta_file_was_lost_is_still_served(server: StandaloneServer, alice: Caller) -> None:
    request_id = server.submit(alice.session, "echo", "hello")
    place = server.poll(alice.session, request_id).json()["location"].removeprefix("../")
    name = place.removeprefix("downloads/")
    (server.data / "staging" / "objects" / f"{name}.meta").unlink()
    answer = alice("GET", f"/{place}")
    assert (answer.status_code, answer.content) == (200, b"hello")
    assert answer.headers["ETag"]
    assert alice("HEAD", f"/{place}").status_code == 200
