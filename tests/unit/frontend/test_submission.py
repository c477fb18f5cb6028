"""Submissions as the core knows them, without HTTP: who may submit, what is stored, and what is counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from polytope_server.frontend.refusals import FailedRequestError, Kind, RefusedError
from polytope_server.frontend.services import Services
from polytope_server.frontend.validation import Draft
from polytope_server.notices import Notice, Topic
from polytope_server.request import Request, Status, Verb
from polytope_server.request_store import StoreUnavailableError
from polytope_server.runtime.management.metrics import Metrics
from polytope_server.user import User
from testbed.frontend import frontend

ALICE = User("alice", "test", ("default",))
STRANGER = User("mallory", "elsewhere")
RETRIEVE = Draft("retrieve", "x")


@pytest.fixture
async def services(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Services]:
    settings = {"poll_wait": 0, **getattr(request, "param", {})}
    async with frontend(tmp_path, {"frontend": settings}) as one:
        yield one.services


async def submit(
    services: Services,
    draft: Draft = RETRIEVE,
    user: User = ALICE,
    read_body: Callable[[], object] = lambda: None,
    size: int = 1,
) -> Request:
    async def read() -> bytes:
        read_body()
        return b"x" * size

    return await services.submissions.submit(user, services.collections["echo"], read, lambda _: draft)


def counted(metrics: Metrics) -> dict[str, float]:
    """The submissions by their outcomes, without those that did not occur."""
    return {
        sample.labels["outcome"]: sample.value
        for family in text_string_to_metric_families(metrics.text().decode())
        for sample in family.samples
        if sample.name == "polytope_requests_submitted_total" and sample.value
    }


async def test_a_request_is_stored_and_announced(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    published: list[tuple[Topic, str]] = []
    monkeypatch.setattr(services.notices, "publish", lambda topic, *ids: published.append((topic, *ids)))
    request = await submit(services)
    stored = await services.store.get(request.id)
    assert stored is not None
    assert (stored.user.id, stored.status, stored.verb) == (ALICE.id, Status.WAITING, Verb.RETRIEVE)
    assert published == [(Topic.WAITING, request.id)]
    assert services.waiters.is_fresh(request.id, ALICE)
    assert counted(services.metrics) == {"accepted": 1}


async def test_what_waits_for_its_data_is_not_announced(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services.notices, "publish", lambda *_: pytest.fail("it was announced"))
    request = await submit(services, Draft("archive", "x"))
    assert request.status is Status.UPLOADING
    assert not services.waiters.is_fresh(request.id, ALICE)


async def test_of_a_user_who_may_not_submit_nothing_is_read(services: Services) -> None:
    with pytest.raises(RefusedError) as caught:
        await submit(services, user=STRANGER, read_body=lambda: pytest.fail("the body was read"))
    assert caught.value.kind is Kind.FORBIDDEN
    assert counted(services.metrics) == {"refused": 1}


@pytest.mark.parametrize(
    ("draft", "kind", "reason"),
    [
        (Draft("erase", "x"), Kind.INVALID, "Transfer type erase not supported"),
        (Draft({}, "x"), Kind.INVALID, "Transfer type {} not supported"),
        (Draft("archive", "x", 5), Kind.INVALID, "The value of 'url' is not a string"),
        (
            Draft("retrieve", "\ud800"),
            Kind.INVALID,
            "The request holds characters that are not valid Unicode",
        ),
        (Draft("retrieve", "x" * (9 << 20)), Kind.TOO_LARGE, "The request has 9437184 bytes"),
    ],
)
async def test_a_bad_draft_is_refused_by_kind_and_reason(
    services: Services, draft: Draft, kind: Kind, reason: str
) -> None:
    for size in (1, 5000):  # read in the event loop, and in a thread
        with pytest.raises(RefusedError) as caught:
            await submit(services, draft, size=size)
        assert caught.value.kind is kind
        assert caught.value.reason.startswith(reason)
    assert counted(services.metrics) == {"refused": 2}


async def test_a_store_that_is_away_fails_the_submission(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: Request) -> None:
        raise StoreUnavailableError("down")

    monkeypatch.setattr(services.store, "add", fail)
    with pytest.raises(StoreUnavailableError):
        await submit(services)
    assert counted(services.metrics) == {"failed": 1}


@pytest.mark.parametrize("services", [{"submit_wait": 60}], indirect=True)
async def test_a_request_that_fails_at_once_fails_its_submission(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = services.store.add

    async def fail_at_once(request: Request) -> None:
        await add(request)
        changed = await services.store.transition(
            request.id, Status.WAITING, 0, Status.FAILED, user_message="it broke"
        )
        assert changed is not None
        services.waiters.on_notice(Notice(Topic.ENDED, request.id))

    monkeypatch.setattr(services.store, "add", fail_at_once)
    async with asyncio.timeout(10):
        with pytest.raises(FailedRequestError) as caught:
            await submit(services)
    assert caught.value.reason == "it broke"
    assert counted(services.metrics) == {"accepted": 1}
