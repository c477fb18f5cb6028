"""The published `polytope-client` in several versions, against a whole server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from caller import Caller
from collected import collect
from gate import Gate
from published_client import EVERYTHING, EVERYTHING_ANSWERED, NEWEST, NEXT, OTHERS, VERSIONS, Client

from polytope_server.request_store.retention import Reason
from testbed.server import StandaloneServer

pytestmark = pytest.mark.unmeasured

#: What depends on the name by which a client calls itself.
by_name = pytest.mark.parametrize("version", [*VERSIONS, NEXT])


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def client(version: str, server: StandaloneServer, tmp_path: Path) -> Client:
    """Each version in turn."""
    return Client(version, server, tmp_path)


@pytest.fixture
def newest(server: StandaloneServer, tmp_path: Path) -> Client:
    return Client(NEWEST, server, tmp_path)


def test_each_client_retrieves_a_dictionary_into_memory(client: Client, version: str) -> None:
    script = (
        "[data] = client.retrieve('echo', {'a': 1, 'date': '20200101', 'l': [1, 2]}); answer = data.decode()"
    )
    text = client.run(script)
    as_json = '{"a": 1, "date": "20200101", "l": [1, 2]}'
    assert text == (as_json if version == "0.6.3" else "a: 1\ndate: '20200101'\nl:\n- 1\n- 2\n")


@pytest.mark.parametrize("version", [*OTHERS, NEXT])
def test_every_published_client_works_with_relative_locations(
    version: str, server: StandaloneServer, tmp_path: Path
) -> None:
    assert Client(version, server, tmp_path).run(EVERYTHING) == EVERYTHING_ANSWERED


def test_each_client_retrieves_grib_into_a_file(client: Client) -> None:
    assert Path(client.run("[answer] = client.retrieve('dummy', '100000', 'out.grib')")).name == "out.grib"
    assert (client.home / "out.grib").read_bytes() == b"x" * 100_000


def test_each_client_names_a_grib_file_after_the_request(client: Client) -> None:
    name = Path(client.run("[answer] = client.retrieve('dummy', '1000')")).name
    assert name.endswith(".grib")
    assert (client.home / name).read_bytes() == b"x" * 1000


def test_each_client_waits_for_a_request_that_takes_its_time(client: Client, gate: Gate) -> None:
    text = f"hold {client.home}"
    gate.release(text)
    assert client.run("[data] = client.retrieve('gate', text); answer = data.decode()", text=text) == text


def test_each_client_lists_and_describes(client: Client, alice: Caller) -> None:
    request_id = alice.submit("held", "x")
    listed, of_other, described, collections = client.run(
        """
client.ping()
client.describe_user()
answer = [client.list_requests(), client.list_requests("dummy"), client.describe_request(request_id),
          client.list_collections()]
""",
        request_id=request_id,
    )
    assert request_id in listed
    assert request_id not in of_other
    assert (described["id"], described["status"], described["verb"]) == (request_id, "waiting", "retrieve")
    assert collections == alice.get("/collections").json()["message"]


def test_each_client_revokes_one_and_all(version: str, server: StandaloneServer, tmp_path: Path,
                                         call: Callable[..., Caller]) -> None:  # fmt: skip
    frank = call("frank")
    client = Client(
        version, server, tmp_path, POLYTOPE_USERNAME="frank", POLYTOPE_PASSWORD="frank's password"
    )
    ids = [frank.submit("held", text) for text in "abc"]
    before, between, after = client.run(
        """
answer = [client.list_requests()]
client.revoke(request_id)
answer.append(client.list_requests())
client.revoke("all")
answer.append(client.list_requests())
""",
        request_id=ids[0],
    )
    assert (before, between, after) == (ids, ids[1:], [])


def test_each_client_shows_the_message_of_a_failed_request(client: Client) -> None:
    script = """
try:
    client.retrieve("raise", {"a": 1})
except Exception as error:
    answer = [type(error).__name__, str(error)]
"""
    kind, text = client.run(script)
    assert kind == "HTTPResponseError"
    assert "Request failed with error:" in text
    assert "this data source always fails" in text


def test_each_client_shows_that_a_result_was_removed(
    client: Client, server: StandaloneServer, alice: Caller
) -> None:
    request_id = alice.submit("echo", "x")
    alice.end_of(request_id)
    collect(server, request_id, Reason.SPACE)
    script = """
try:
    client.download(request_id)
except Exception as error:
    answer = str(error)
"""
    assert "removed on" in client.run(script, request_id=request_id)
    assert "the space was needed" in client.run(script, request_id=request_id)


def test_each_client_shows_why_a_request_is_refused_at_the_door(client: Client) -> None:
    script = """
try:
    client.retrieve("strict", {"class": "xx"})
except Exception as error:
    answer = str(error)
"""
    text = client.run(script)
    assert "No matching datasource found for request:" in text
    assert "Skipping datasource strict" in text


@by_name
def test_each_client_reports_a_wrong_password_at_once(
    version: str, server: StandaloneServer, tmp_path: Path
) -> None:
    client = Client(version, server, tmp_path, POLYTOPE_PASSWORD="wrong")
    script = """
answer = []
for call in (client.list_requests, client.list_collections, client.describe_user,
             lambda: client.retrieve("echo", "x"), lambda: client.revoke("all")):
    try:
        call()
    except Exception as error:
        answer.append(str(error))
"""
    texts = client.run(script)
    assert len(texts) == 5
    assert all("Invalid credentials" in text for text in texts), texts


def test_each_client_may_send_an_email_key_beside_the_password(
    version: str, server: StandaloneServer, tmp_path: Path
) -> None:
    # 0.7.4 sends the key a second time as Bearer, which no realm of this server knows.
    key = {
        "POLYTOPE_USER_EMAIL": "grace@example.org",
        "POLYTOPE_USER_KEY": "0123456789abcdef0123456789abcdef",
    }
    client = Client(version, server, tmp_path, **key)
    script = "[data] = client.retrieve('echo', 'with a key'); answer = data.decode()"
    assert client.run(script) == "with a key"


def test_a_pointer_is_the_public_address_with_length_and_type(
    newest: Client, server: StandaloneServer
) -> None:
    pointer = newest.run("[answer] = client.retrieve('dummy', '1234', pointer=True)")
    assert pointer["location"].startswith(f"{server.url}/downloads/")
    assert (pointer["contentLength"], pointer["contentType"]) == ("1234", "application/x-grib")


def test_an_asynchronous_retrieve_is_downloaded_later(newest: Client) -> None:
    script = """
[result] = client.retrieve("echo", "for later", asynchronous=True)
answer = [result.request_url, result.download().decode(), client.download(result.request_url[2:]).decode()]
"""
    url, *texts = newest.run(script)
    assert url.startswith("./")
    assert texts == ["for later", "for later"]


def test_an_asynchronous_download_of_an_unfinished_request_says_so(newest: Client, alice: Caller) -> None:
    script = """
from polytope.api.helpers import RetriesExceededError
try:
    client.download(request_id, asynchronous=True)
except RetriesExceededError as error:
    answer = str(error)
"""
    request_id = alice.submit("echo", "x", "archive")  # a poll of it is not held
    assert "Data not ready" in newest.run(script, request_id=request_id)


def test_two_requests_are_written_into_one_file_in_their_order(newest: Client) -> None:
    answer = newest.run("answer = client.retrieve('echo', ['first ', 'second'], 'both')")
    assert len(answer) == 2
    assert (newest.home / "both").read_text() == "first second"
    newest.run("client.retrieve('dummy', ['10', '20'], 'both.grib')")
    assert (newest.home / "both.grib").read_bytes() == b"x" * 30


def test_a_file_of_a_request_is_retrieved_by_the_command(newest: Client) -> None:
    (newest.home / "request").write_text("class: od\nstep: 1\n")
    result = newest.command("retrieve", "strict", "request", "out")
    assert result.returncode == 0, result.stderr
    assert (newest.home / "out").read_text() == "class: od\nstep: 1\n"


def test_the_command_archives_a_file(newest: Client, alice: Caller, gate: Gate) -> None:
    (newest.home / "metadata").write_text("class: od\n")
    data = f"hold what {newest.home} uploads"
    (newest.home / "data").write_text(data)
    gate.release(data)
    result = newest.command("archive", "gate", "metadata", "data")
    assert result.returncode == 0, result.stderr
    newest_document = alice.get("/requests/gate").json()["message"][-1]
    assert (newest_document["verb"], newest_document["status"]) == ("archive", "processed")


def test_the_command_uploads_to_a_request(newest: Client, alice: Caller) -> None:
    request_id = alice.submit("echo", "x", "archive")
    (newest.home / "data").write_bytes(bytes(range(256)) * 1000)
    result = newest.command("upload", request_id, "data")
    assert result.returncode == 0, result.stderr
    assert alice.status_of(request_id) == "processed"


def test_the_command_archives_from_an_address(newest: Client, alice: Caller, gate: Gate) -> None:
    (newest.home / "metadata").write_text("class: od\n")
    result = newest.command("archive", "gate", "metadata", f"{gate.url}/input")
    assert result.returncode == 0, result.stderr
    assert alice.get("/requests/gate").json()["message"][-1]["status"] == "processed"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["ping"], "operating and accessible"),
        (["describe", "user"], "live requests"),
        (["list", "collections"], "strict"),
        (["list", "requests", "--collection", "dummy"], "active requests"),
        (["revoke", "00000000-0000-4000-8000-000000000000"], "Successfully revoked 0 requests"),
    ],
)
def test_the_command_shows_what_the_server_says(newest: Client, arguments: list[str], expected: str) -> None:
    result = newest.command(*arguments)
    assert result.returncode == 0, result.stderr
    assert expected in result.stdout + result.stderr


def test_the_command_shows_the_message_of_a_failed_request(newest: Client) -> None:
    result = newest.command("retrieve", "-e", "raise", "a = 1", "out")
    assert result.returncode == 1
    assert "this data source always fails" in result.stdout + result.stderr
    assert "Traceback" not in result.stdout + result.stderr


@pytest.fixture(scope="module")
def with_keys(tmp_path_factory: pytest.TempPathFactory) -> Any:
    keys = {"generator": {"type": "sql", "allowed_realms": ["test"]}, "authenticator": {"type": "sql"}}
    with StandaloneServer(tmp_path_factory.mktemp("keys") / "data", {"api-keys": keys}) as server:
        yield server


def test_a_login_stores_a_key_that_is_used_from_then_on(with_keys: StandaloneServer, tmp_path: Path) -> None:
    client = Client(NEWEST, with_keys, tmp_path)
    key = client.run("answer, _ = client.login('alice', \"alice's password\")")
    assert key in (tmp_path / "configuration" / "config.yaml").read_text()
    del client.environment["POLYTOPE_PASSWORD"]
    assert client.run("[data] = client.retrieve('echo', 'by key'); answer = data.decode()") == "by key"


def test_a_login_with_a_wrong_password_fails_at_once(with_keys: StandaloneServer, tmp_path: Path) -> None:
    script = """
try:
    client.login("alice", "wrong")
except Exception as error:
    answer = str(error)
"""
    assert "Invalid credentials" in Client(NEWEST, with_keys, tmp_path).run(script)


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandaloneServer]:
    config = {
        "frontend": {"limits": {"per-user": 2, "calls-per-second": 0.2, "burst": 28}},
        "support": {"default_url": "https://support.example.org"},
        "collections": {
            "echo": {"roles": {"test": ["default"]}, "datasources": ["echo"]},
            "held": {"roles": {"test": ["default"]}, "datasources": ["echo"], "limits": {"total": 0}},
        },
    }
    with StandaloneServer(tmp_path_factory.mktemp("limited") / "data", config) as server:
        yield server


@by_name
def test_each_client_shows_at_once_that_there_are_too_many_requests(
    version: str, limited: StandaloneServer, tmp_path: Path
) -> None:
    session = limited.session("bob")
    held = [limited.submit(session, "held", "x") for _ in range(2)]
    client = Client(version, limited, tmp_path, POLYTOPE_USERNAME="bob", POLYTOPE_PASSWORD="bob's password")
    script = """
try:
    client.retrieve("echo", "x")
except Exception as error:
    answer = str(error)
"""
    text = client.run(script)
    assert "You have 2 requests that have not ended, and the limit is 2." in text
    assert text.count("For help: https://support.example.org") == 1
    for request_id in held:
        session.delete(f"{limited.url}/requests/{request_id}")


@pytest.mark.parametrize("version", [NEWEST, NEXT])
def test_the_client_shows_at_once_that_there_are_too_many_calls(
    version: str, limited: StandaloneServer, tmp_path: Path
) -> None:
    script = """
try:
    for _ in range(30):
        client.describe_user()
except Exception as error:
    answer = str(error)
"""
    text = Client(version, limited, tmp_path).run(script)
    assert (
        "Too many calls: the limit of a user is 0.2 per second on average, 28 at once. Try again in" in text
    )


def test_the_command_shows_the_user_the_limits(limited: StandaloneServer, tmp_path: Path) -> None:
    variables = {"POLYTOPE_USERNAME": "bob", "POLYTOPE_PASSWORD": "bob's password"}
    result = Client(NEWEST, limited, tmp_path, **variables).command("describe", "user")
    assert "limit of live requests" in result.stdout + result.stderr
