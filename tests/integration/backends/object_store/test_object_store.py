"""The object store process over HTTP, with real sockets: reading, writing, removing, lists."""

import asyncio
import base64
import hashlib
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import xxhash
from object_store_caller import DATA, GRIB, Caller, N, nothing_unfinished, worker_of

from polytope_server.staging.names import new_object_name
from polytope_server.testing.waiting import until
from testbed.object_store import TOKEN, ObjectStore


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"bearer{TOKEN}", TOKEN, f"Bearer {TOKEN}x"],
)
def test_only_the_token_lets_write_list_and_remove(call: Caller, header: str | None) -> None:
    name = call.put()
    headers = {} if header is None else {"Authorization": header}
    for method, path in (
        ("PUT", new_object_name("r2", GRIB)),
        ("DELETE", name),
        ("DELETE", "r1/"),
        ("GET", ""),
        ("DELETE", "unfinished?age=0"),
    ):
        answer = call(method, path, token=None, headers=headers)
        assert answer.status_code == 401, (method, path)
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert TOKEN not in answer.text
    assert call.names() == {name}


def test_every_caller_that_knows_the_name_may_read(call: Caller) -> None:
    name = call.put()
    assert call("GET", name, token=None).content == DATA
    assert call("HEAD", name, token=None).status_code == 200


def test_an_object_is_described(call: Caller) -> None:
    name = call.put()
    answer, head = call("GET", name), call("HEAD", name)
    md5 = hashlib.md5(DATA).hexdigest()
    expected = {
        "Content-Type": GRIB,
        "Content-Length": str(N),
        "Content-MD5": md5,
        "ETag": f'"{xxhash.xxh3_128_hexdigest(DATA)}"',
        "Accept-Ranges": "bytes",
        "Content-Disposition": 'attachment; filename="r1.grib"',
    }
    for found in (answer, head):
        assert found.status_code == 200
        assert {key: found.headers.get(key) for key in expected} == expected
        assert abs(float(found.headers["X-Modified"]) - time.time()) < 60
        assert found.headers["Last-Modified"].endswith("GMT")
    assert (answer.content, head.content) == (DATA, b"")


@pytest.mark.parametrize(
    ("wanted", "first", "last"),
    [("bytes=0-0", 0, 0), ("bytes=100-", 100, N - 1), ("bytes=-100", N - 100, N - 1),
     (f"bytes=5-{N + 9}", 5, N - 1), ("bytes=70000-140000", 70000, 140000)],
)  # fmt: skip
def test_a_range_gives_those_bytes(call: Caller, wanted: str, first: int, last: int) -> None:
    answer = call("GET", call.put(), headers={"Range": wanted})
    assert (answer.status_code, answer.content) == (206, DATA[first : last + 1])
    assert answer.headers["Content-Range"] == f"bytes {first}-{last}/{N}"


def test_a_range_outside_of_the_object_is_416(call: Caller) -> None:
    answer = call("GET", call.put(), headers={"Range": f"bytes={N}-"})
    assert (answer.status_code, answer.headers["Content-Range"]) == (416, f"bytes */{N}")


def test_a_range_can_depend_on_the_version(call: Caller) -> None:
    name = call.put()
    etag = call("HEAD", name).headers["ETag"]
    for condition, status in ((etag, 206), ('"other"', 200)):
        answer = call("GET", name, headers={"Range": "bytes=0-9", "If-Range": condition})
        assert answer.status_code == status


def test_what_the_client_has_is_not_sent_again(call: Caller) -> None:
    name = call.put()
    etag = call("HEAD", name).headers["ETag"]
    answer = call("GET", name, headers={"If-None-Match": etag})
    assert (answer.status_code, answer.content, answer.headers["ETag"]) == (304, b"", etag)


@pytest.mark.parametrize(
    "path", ["r1/x.grib", "r1/..%2f..%2fx.bin", "..%2f/x.bin", "r1/%00.bin", "r1/x", "nothing", "r1/a/b.bin"]
)
def test_what_is_not_there_is_404(call: Caller, path: str) -> None:
    for method in ("GET", "HEAD", "DELETE"):
        assert call(method, path).status_code == 404, method


def test_the_meta_file_is_no_object(call: Caller) -> None:
    assert call("GET", f"{call.put()}.meta").status_code == 404


def test_the_answer_to_a_put_holds_size_and_checksum(call: Caller) -> None:
    name = new_object_name("r1", GRIB)
    answer = call("PUT", name, data=DATA)
    made = answer.json()
    assert (answer.status_code, made["name"], made["size"]) == (201, name, N)
    assert made["md5"] == hashlib.md5(DATA).hexdigest()
    assert call("HEAD", name).headers["Content-Type"] == "application/octet-stream"


@pytest.mark.parametrize("size", [0, 1, 65536, (2 << 20) + 1])
def test_a_body_without_a_length_is_stored(call: Caller, size: int) -> None:
    data = os.urandom(size)
    name = call.put(data[at : at + 70_000] for at in range(0, size, 70_000))
    assert call("GET", name).content == data


def test_an_object_is_written_once(call: Caller) -> None:
    name = call.put()
    for headers, status in (({}, 409), ({"If-None-Match": "*"}, 412)):
        assert call("PUT", name, data=b"other", headers=headers).status_code == status
    assert call("GET", name).content == DATA
    fresh = new_object_name("r1", GRIB)
    assert call("PUT", fresh, data=b"x", headers={"If-None-Match": "*"}).status_code == 201


def test_of_two_writers_at_once_one_wins(call: Caller, store: ObjectStore) -> None:
    name = new_object_name("r1", GRIB)
    bodies = [bytes([number]) * 1_000_000 for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda body: Caller(store)("PUT", name, data=body), bodies))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7
    winner = next(body for body, answer in zip(bodies, answers, strict=True) if answer.status_code == 201)
    assert call("GET", name).content == winner


@pytest.mark.parametrize("header", ["Content-MD5", "X-Checksum"])
def test_a_checksum_is_verified(call: Caller, store: ObjectStore, header: str) -> None:
    digest = hashlib.md5(DATA)
    for given in (digest.hexdigest(), digest.hexdigest().upper(), base64.b64encode(digest.digest()).decode()):
        call.put(DATA, **{header: given})
    before = call.names()
    for wrong, status in (("0" * 32, 422), ("nonsense", 400)):
        answer = call("PUT", new_object_name("r1", GRIB), data=DATA, headers={header: wrong})
        assert answer.status_code == status
        assert "MD5" in answer.json()["message"]
    assert call.names() == before
    assert nothing_unfinished(store)


async def test_a_large_object_gets_its_md5_a_little_later(started: Callable[..., Caller]) -> None:
    call = started()
    data = os.urandom(1 << 20) * 40
    md5 = {"Content-MD5": hashlib.md5(data).hexdigest()}
    assert call("HEAD", call.put(data, **md5)).headers.items() >= md5.items()
    name = call.put(data)
    call.store.kill()  # whether or not it has begun
    call.store.start()
    tags = set()

    def has_md5() -> bool:
        answer = call("HEAD", name)
        tags.add(answer.headers["ETag"])
        return answer.headers.items() >= md5.items()

    await until(has_md5)
    assert tags == {f'"{xxhash.xxh3_128_hexdigest(data)}"'}
    assert nothing_unfinished(call.store)


@pytest.mark.parametrize("path", ["r1/x", "r1/.x.bin", "r 1/x.bin", "r1/x.html", f"{'r' * 65}/x.bin"])
def test_a_bad_name_is_refused(call: Caller, path: str) -> None:
    assert call("PUT", path, data=b"x").status_code == 400


@pytest.mark.parametrize("kind", ["x", "text/html x", "a/b;" + "c" * 200])
def test_a_bad_media_type_is_refused(call: Caller, kind: str) -> None:
    answer = call("PUT", new_object_name("r1", GRIB), data=b"x", headers={"Content-Type": kind})
    assert answer.status_code == 400


@pytest.mark.parametrize("head", ["Content-Length: 10000000", "Transfer-Encoding: chunked"])
async def test_the_half_of_a_client_that_vanished_leaves_nothing(
    call: Caller, store: ObjectStore, head: str
) -> None:
    with socket.create_connection((store.host, store.port)) as client:
        name = new_object_name("r1", GRIB)
        client.sendall(f"PUT /{name} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n".encode())
        client.sendall(f"{head}\r\n\r\n".encode())
        client.sendall(b"200000\r\n" + b"x" * 0x200000 + b"\r\n")
        await until(lambda: not nothing_unfinished(store))
    await until(lambda: nothing_unfinished(store))
    assert call("GET", name).status_code == 404
    assert call.names() == set()


def test_removing(call: Caller) -> None:
    first, second = call.put(), call.put()
    assert call("DELETE", first).status_code == 204
    assert call("DELETE", first).status_code == 404
    assert call.names() == {second}


def test_removing_all_of_a_request(call: Caller) -> None:
    call.put(request="r1")
    call.put(request="r1")
    other = call.put(request="r2")
    assert call("DELETE", "r1/").json() == {"count": 2}
    assert call("DELETE", "r1/").json() == {"count": 0}
    assert call("DELETE", "..%2fr2/").status_code == 404
    assert call.names() == {other}


async def test_removing_ends_the_writing(call: Caller, store: ObjectStore) -> None:
    name = new_object_name("r1", GRIB)
    go_on = asyncio.Event()
    loop = asyncio.get_running_loop()

    def body() -> Iterator[bytes]:
        yield b"x" * 2_000_000
        asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result(20)

    writing = asyncio.create_task(asyncio.to_thread(Caller(store), "PUT", name, data=body()))
    await until(lambda: not nothing_unfinished(store))
    assert (await asyncio.to_thread(call, "DELETE", name)).status_code == 204
    assert nothing_unfinished(store)
    go_on.set()
    answer = await writing
    assert (answer.status_code, "deleted" in answer.text) == (409, True)
    assert call.names() == set()


def test_the_list_tells_size_and_time(call: Caller) -> None:
    name = call.put()
    answer = call("GET", "")
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    (found,) = (json.loads(line) for line in answer.text.splitlines())
    assert (found["name"], found["size"]) == (name, N)
    assert found["modified"] == float(call("HEAD", name).headers["X-Modified"])


def test_unfinished_files_are_removed_by_age(call: Caller, store: ObjectStore) -> None:
    left = store.root / "unfinished" / "left"
    left.write_bytes(b"x")
    assert call("DELETE", "unfinished?age=3600").json() == {"count": 0}
    assert call("DELETE", "unfinished?age=-60").json() == {"count": 1}
    assert call("DELETE", "unfinished").status_code == 400
    assert not left.exists()


def test_a_list_of_many_takes_little_memory(started: Callable[..., Caller]) -> None:
    call = started()
    process = worker_of(call.store)
    call("GET", "")
    before = process.memory_info().rss
    for number in range(5_000):
        folder = call.store.root / "objects" / f"request-{number}"
        folder.mkdir()
        (folder / "0123456789abcdef0123456789abcdef.grib").write_bytes(b"x")
    assert sum(1 for line in call("GET", "").iter_lines() if line) == 5_000
    assert process.memory_info().rss - before < 4 << 20


def test_health_needs_no_token(call: Caller) -> None:
    assert call("GET", "health", token=None).status_code == 200


def test_browsers_may_read(call: Caller) -> None:
    answer = call("OPTIONS", "r1/x.bin", token=None, headers={"Access-Control-Request-Method": "GET"})
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Methods"] == "GET, HEAD, OPTIONS"


@pytest.mark.parametrize(
    ("method", "path"), [("POST", ""), ("POST", "r1/x.bin"), ("PUT", "r1/"), ("PUT", "health")]
)
def test_other_methods_are_refused(call: Caller, method: str, path: str) -> None:
    answer = call(method, path)
    assert answer.status_code == 405
    assert answer.headers["Allow"]


def test_an_unknown_version_of_http_is_refused(store: ObjectStore) -> None:
    with socket.create_connection((store.host, store.port), timeout=10) as client:
        client.sendall(b"GET / HTTP/2.0\r\nHost: x\r\n\r\n")
        assert client.recv(1000).startswith(b"HTTP/1.1 400")
