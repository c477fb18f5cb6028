"""The published `polytope-client` in all versions, against a server whose locations are absolute."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from published_client import EVERYTHING, EVERYTHING_ANSWERED, NEWEST, NEXT, OTHERS, VERSIONS, Client

from testbed.server import StandaloneServer

pytestmark = pytest.mark.unmeasured


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandaloneServer]:
    """A server that knows the address by which its clients reach it."""
    server = StandaloneServer(tmp_path_factory.mktemp("public") / "data")
    server.config["frontend"]["public_url"] = f"http://127.0.0.1:{server.port}"
    with server:
        yield server


@pytest.fixture
def newest(public: StandaloneServer, tmp_path: Path) -> Client:
    return Client(NEWEST, public, tmp_path)


@pytest.mark.parametrize("version", [*VERSIONS, *OTHERS, NEXT])
def test_every_published_client_works_with_absolute_locations(
    version: str, public: StandaloneServer, tmp_path: Path
) -> None:
    assert Client(version, public, tmp_path).run(EVERYTHING) == EVERYTHING_ANSWERED


def test_a_result_can_be_described_by_its_absolute_location(newest: Client, public: StandaloneServer) -> None:
    script = """
[result] = client.retrieve("echo", "for later", asynchronous=True)
described = result.describe()
answer = [result.request_url, str(described), result.download().decode()]
"""
    url, described, text = newest.run(script)
    assert url.startswith(f"{public.url}/requests/")
    assert url.rpartition("/")[2] in described
    assert text == "for later"


def test_a_pointer_is_the_absolute_address(newest: Client, public: StandaloneServer) -> None:
    pointer = newest.run("[answer] = client.retrieve('dummy', '1234', pointer=True)")
    assert pointer["location"].startswith(f"{public.url}/downloads/")


def test_the_command_archives_a_file(newest: Client, public: StandaloneServer) -> None:
    (newest.home / "metadata").write_text("class: od\n")
    (newest.home / "data").write_bytes(b"x" * 1000)
    result = newest.command("archive", "echo", "metadata", "data")
    assert result.returncode == 0, result.stderr
    listed = public.session().get(f"{public.url}/requests/echo", timeout=60).json()["message"]
    assert (listed[-1]["verb"], listed[-1]["status"]) == ("archive", "processed")
