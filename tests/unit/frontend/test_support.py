"""Errors that users cannot mend themselves say where help is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from polytope_server.authentication import AuthenticationUnavailableError
from polytope_server.request import Status
from polytope_server.request_store import StoreUnavailableError
from testbed.frontend import Frontend, frontend

ALL, TEST = "https://support.example.org", "mailto:test@example.org"


@pytest.fixture
async def site(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Frontend]:
    support = getattr(request, "param", {"default_url": ALL, "realms": {"test": TEST}})
    collections = {
        "echo": {"roles": {"test": ["default"]}, "datasources": ["echo"]},
        "nobodys": {"datasources": ["echo"]},
    }
    sections = {
        "support": support,
        "collections": collections,
        "frontend": {"poll_wait": 0, "limits": {"per-user": 1}},
    }
    async with frontend(tmp_path, sections) as one:
        yield one


async def fail(site: Frontend, message: str) -> str:
    """Submit a request, and have it fail; returns its id."""
    request_id = (await site.submit()).headers["location"].removeprefix("./")
    store = site.services.store
    changed = await store.transition(request_id, Status.WAITING, 0, Status.FAILED, user_message=message)
    assert changed is not None
    return request_id


async def test_wrong_credentials(site: Frontend) -> None:
    answer = await site.call("GET", "/user", password="wrong")
    assert (answer.status, answer.message) == (401, f"Invalid credentials\nFor help: {ALL}")


async def test_a_collection_that_is_not_the_users(site: Frontend) -> None:
    answer = await site.submit("nobodys")
    assert answer.status == 403
    assert answer.message == f"User alice cannot access collection nobodys\nFor help: {TEST}"


async def test_a_request_that_failed(site: Frontend) -> None:
    request_id = await fail(site, "it broke")
    answer = await site.call("GET", f"/requests/{request_id}")
    assert answer.status == 400
    assert answer.message == (
        f"Request failed with error:\nit broke\nFor help: {TEST} (the request is {request_id})"
    )


async def test_the_contact_is_not_given_twice(site: Frontend) -> None:
    request_id = await fail(site, f"a server behind this one says: contact {TEST}")
    answer = await site.call("GET", f"/requests/{request_id}")
    assert answer.message.count(TEST) == 1


async def test_one_request_too_many(site: Frontend) -> None:
    await site.submit()
    answer = await site.submit()
    assert answer.status == 429
    assert answer.message.endswith(f"\nFor help: {TEST}")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (StoreUnavailableError("secret place"), 503),
        (AuthenticationUnavailableError("It is down"), 503),
        (KeyError("secret place"), 500),
    ],
)
async def test_a_fault_of_the_server(
    site: Frontend, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    async def failing(*_: Any, **__: Any) -> Any:
        raise error

    broken: Any = site.services.store
    if isinstance(error, AuthenticationUnavailableError):
        broken = site.services.authentication
    monkeypatch.setattr(broken, "authenticate" if broken is not site.services.store else "count", failing)
    answer = await site.call("GET", "/user")
    assert answer.status == status
    assert answer.message.count("\nFor help: ") == 1
    assert "secret" not in answer.message


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/requests/unknown", None),
        ("GET", "/nowhere", None),
        ("PUT", "/user", None),
        ("POST", "/requests/echo", {}),
    ],
)
async def test_a_mistake_of_the_user_names_no_contact(
    site: Frontend, method: str, path: str, body: Any
) -> None:
    answer = await site.call(method, path, body)
    assert 400 <= answer.status < 500
    assert "For help" not in answer.message


@pytest.mark.parametrize("site", [{}], indirect=True)
async def test_without_a_contact_nothing_is_added(site: Frontend) -> None:
    assert (await site.call("GET", "/user", password="wrong")).message == "Invalid credentials"
    assert "For help" not in (await site.submit("nobodys")).message


@pytest.mark.parametrize("site", [{"realms": {"another": TEST}, "default_url": ALL}], indirect=True)
async def test_another_realm_has_the_default(site: Frontend) -> None:
    assert (await site.submit("nobodys")).message.endswith(f"\nFor help: {ALL}")


async def test_too_many_wrong_passwords(site: Frontend) -> None:
    for number in range(10):
        assert (await site.call("GET", "/user", password=f"wrong {number}")).status == 401
    for agent, status in [("curl/8", 429), ("python-requests/2", 401)]:
        answer = await site.call("GET", "/user", password=f"wrong {agent}", agent=agent)
        assert answer.status == status
        assert answer.message.startswith("Invalid credentials, too many times. Try again in ")
        assert 0 < int(answer.headers["retry-after"]) <= 120
        assert answer.headers["www-authenticate"].startswith("Basic ")
    assert (await site.call("GET", "/user")).status == 200
