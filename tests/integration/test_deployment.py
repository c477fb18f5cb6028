"""What every deployment does, whatever its back-ends. `pytest tests/integration --config FILE` runs it."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest
import requests
from polytope.api import Client

from testbed.server import Deployment

pytestmark = pytest.mark.deployment

GRIB = "application/x-grib"
LARGE = (9 << 20) + 7


@pytest.fixture
def users(deployment: Deployment) -> tuple[requests.Session, requests.Session]:
    """Two users."""
    first, second, *_ = deployment.users
    return deployment.session(first), deployment.session(second)


@pytest.fixture
def session(users: tuple[requests.Session, requests.Session]) -> requests.Session:
    """One of them."""
    return users[0]


@pytest.fixture
def text() -> str:
    """What no other test asks for."""
    return f"text {uuid4()}"


def test_it_is_alive_and_knows_who_calls(deployment: Deployment, session: requests.Session) -> None:
    assert requests.get(f"{deployment.url}/test", timeout=10).json() == {
        "message": "Polytope server is alive"
    }
    assert requests.get(f"{deployment.url}/collections", timeout=10).status_code == 401
    wrong = deployment.session(password="wrong")
    assert wrong.get(f"{deployment.url}/collections", timeout=10).status_code == 401
    assert (
        deployment.collection("echo")
        in session.get(f"{deployment.url}/collections", timeout=10).json()["message"]
    )


def test_a_request_is_processed(deployment: Deployment, session: requests.Session, text: str) -> None:
    request_id = deployment.submit(session, deployment.collection("echo"), text)
    answer = deployment.poll(session, request_id)
    assert answer.status_code == 303
    body = answer.json()
    assert (body["contentLength"], body["contentType"]) == (len(text), "application/octet-stream")
    assert deployment.download(deployment.link(answer)) == text.encode()
    # Again the same: a result can be fetched as often as one likes.
    assert deployment.result(session, request_id) == text.encode()


@pytest.mark.parametrize("size", [0, 1, 100_000, LARGE])
def test_results_of_all_sizes_arrive_whole(
    deployment: Deployment, session: requests.Session, size: int
) -> None:
    request_id = deployment.submit(session, deployment.collection("dummy"), str(size))
    answer = deployment.poll(session, request_id)
    assert answer.json()["contentLength"] == size
    data = requests.get(deployment.link(answer), timeout=60)
    assert data.headers["Content-Type"] == GRIB
    assert data.headers["Content-Length"] == str(size)
    assert data.headers["Content-Disposition"].startswith("attachment")
    assert data.content == b"x" * size


def test_a_part_of_a_result(deployment: Deployment, session: requests.Session, text: str) -> None:
    request_id = deployment.submit(session, deployment.collection("echo"), text)
    link = deployment.link(deployment.poll(session, request_id))
    part = requests.get(link, headers={"Range": "bytes=5-9"}, timeout=60)
    assert (part.status_code, part.content) == (206, text.encode()[5:10])
    assert part.headers["Content-Range"] == f"bytes 5-9/{len(text)}"


def test_a_failure_says_why(deployment: Deployment, session: requests.Session) -> None:
    answer = deployment.poll(session, deployment.submit(session, deployment.collection("raise"), "x"))
    assert answer.status_code == 400
    assert answer.json()["message"].startswith("Request failed with error:\n")


def test_bad_calls_are_refused(deployment: Deployment, session: requests.Session) -> None:
    url = f"{deployment.url}/requests"
    assert session.post(f"{url}/no-such-collection", json={}, timeout=10).status_code == 404
    assert session.post(f"{url}/{deployment.collection('echo')}", json={}, timeout=10).status_code == 400
    assert session.get(f"{url}/{uuid4()}", timeout=10).status_code == 404


def test_an_archive_is_uploaded(deployment: Deployment, session: requests.Session) -> None:
    data = b"GRIB of nothing" * 100_000
    request_id = deployment.submit(session, deployment.collection("echo"), "metadata", "archive")
    url = f"{deployment.url}/uploads/{request_id}"
    checksum = hashlib.md5(data).hexdigest()
    assert session.post(url, data=data, headers={"X-Checksum": "0" * 32}, timeout=60).status_code == 400
    assert session.post(url, data=data, headers={"X-Checksum": checksum}, timeout=60).status_code == 202
    answer = deployment.poll(session, request_id)
    assert (answer.status_code, answer.json()["status"]) == (200, "processed")


def test_a_revoked_request_is_gone(deployment: Deployment, session: requests.Session, text: str) -> None:
    request_id = deployment.submit(session, deployment.collection("echo"), text)
    link = deployment.link(deployment.poll(session, request_id))
    answer = session.delete(f"{deployment.url}/requests/{request_id}", timeout=10)
    assert answer.json() == {"message": "Successfully revoked 1 requests"}
    assert session.get(f"{deployment.url}/requests/{request_id}", timeout=10).status_code == 404
    assert requests.get(link, timeout=10).status_code in (403, 404)


def test_the_requests_of_another_look_like_unknown_ones(
    deployment: Deployment, users: tuple[requests.Session, requests.Session], text: str
) -> None:
    owner, other = users
    request_id = deployment.submit(owner, deployment.collection("echo"), text)
    for method, path in [
        ("GET", "requests"),
        ("DELETE", "requests"),
        ("GET", "downloads"),
        ("GET", "uploads"),
    ]:
        answers = [
            other.request(method, f"{deployment.url}/{path}/{key}", timeout=60, allow_redirects=False)
            for key in (request_id, str(uuid4()))
        ]
        shown = [(answer.status_code, answer.text[:40].replace(request_id, "")) for answer in answers]
        assert shown[0][0] == shown[1][0], (method, path)
    assert deployment.result(owner, request_id) == text.encode()


def test_many_requests_of_two_users_end_with_their_own_results(
    deployment: Deployment, users: tuple[requests.Session, requests.Session], text: str
) -> None:
    def one(number: int) -> bytes:
        session = deployment.session(list(deployment.users)[number % 2])
        wanted = f"{text} {number}"
        return deployment.result(session, deployment.submit(session, deployment.collection("echo"), wanted))

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(one, range(100))) == [f"{text} {number}".encode() for number in range(100)]
    for session in users:
        assert session.get(f"{deployment.url}/user", timeout=60).json() == {"live requests": "0"}


def test_requests_are_listed(deployment: Deployment, session: requests.Session, text: str) -> None:
    collection = deployment.collection("echo")
    request_id = deployment.submit(session, collection, text)
    deployment.poll(session, request_id)
    listed = session.get(f"{deployment.url}/requests/{collection}", timeout=60).json()["message"]
    document = next(document for document in listed if document["id"] == request_id)
    assert (document["status"], document["user_request"]) == ("processed", text)


def test_the_published_client_retrieves(
    deployment: Deployment, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLYTOPE_CONFIG_PATH", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "*")
    username, password = next(iter(deployment.users.items()))
    client = Client(
        address=deployment.url.removesuffix("/api/v1"),
        insecure=deployment.url.startswith("http://"),
        username=username,
        password=password,
        key_path=str(tmp_path / "no-key"),
        quiet=True,
    )
    (made,) = client.retrieve(deployment.collection("dummy"), "12345", str(tmp_path / "result"))
    assert Path(made).read_bytes() == b"x" * 12_345
