"""What an attempt comes to, whatever goes wrong: each error has its outcome."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from polytope_server.collection import Collection, DataSourceConfig
from polytope_server.datasource import DataSourceError, TemporaryError, WornOutError
from polytope_server.request import Request, Status
from polytope_server.settings.processes import WorkerSettings
from polytope_server.staging import (
    LargestObjectError,
    ObjectTooLargeError,
    StagedObject,
    StagingUnavailableError,
)
from polytope_server.testing.staging import chunked
from polytope_server.user import User
from polytope_server.worker.attempt import Attempts
from polytope_server.worker.outcome import Outcome

SOURCE = DataSourceConfig("echo", "echo", {"max_attempts": 2, "max_result": 10})
COLLECTIONS = {"c": Collection("c", (SOURCE,))}


class Staging:
    """Takes an object, or raises `error`."""

    error: Exception | None = None

    async def create(self, name: str, chunks: AsyncIterator[bytes], content_type: str) -> StagedObject:
        size = sum([len(chunk) async for chunk in chunks])
        if self.error:
            raise self.error
        return StagedObject(name, size, content_type, "0" * 32, 0.0)


class Child:
    """Answers with `data`, or raises `error`."""

    announced: int | None = None
    error: Exception | None = None
    data = b"hello"

    async def run(self, *_: Any, **__: Any) -> tuple[str, AsyncIterator[bytes]]:
        if self.error:
            raise self.error
        return "a/b", chunked([self.data])


class Site:
    """Attempts at requests with one child; also the slot that it is taken from."""

    def __init__(self) -> None:
        self.staging, self.child = Staging(), Child()
        #: Children that are taken before it.
        self.worn_out: list[Child] = []
        self.never = False
        self.report: Any = SimpleNamespace(notes="")
        settings = WorkerSettings.model_validate({"timeout": 5, "retry_delay": 1, "max_attempts": 7})
        self.settings = settings

    async def take(self) -> Child:
        if self.never:
            await asyncio.Event().wait()
        return self.worn_out.pop() if self.worn_out else self.child

    async def run(self, **fields: Any) -> Outcome:
        staging: Any = self.staging
        slot: Any = self
        attempts = Attempts(self.settings, COLLECTIONS, None, staging, now=lambda: 1000.0)
        values = {"datasource": "echo", "status": Status.PROCESSING, "attempt": 1, **fields}
        return await attempts.run(Request(User("alice", "r"), "c", **values), slot, self.report)


@pytest.fixture
def site() -> Site:
    return Site()


async def test_a_result_that_is_staged_is_a_success(site: Site) -> None:
    outcome = await site.run()
    assert outcome.to is Status.PROCESSED
    assert outcome.result is not None
    assert outcome.result.size == 5


async def test_a_data_source_that_cannot_serve_the_request_fails_it(site: Site) -> None:
    site.child.error = DataSourceError("no such data")
    outcome = await site.run()
    assert (outcome.to, outcome.changes["user_message"]) == (Status.FAILED, "no such data")
    assert "failures" not in outcome.changes


def worn_out() -> Child:
    child = Child()
    child.error = WornOutError()
    return child


async def test_a_child_that_is_worn_out_costs_no_attempt(site: Site) -> None:
    site.worn_out = [worn_out() for _ in range(site.settings.concurrency)]
    outcome = await site.run()
    assert outcome.to is Status.PROCESSED
    assert site.worn_out == []


async def test_children_that_are_worn_out_without_end_do(site: Site) -> None:
    site.worn_out = [worn_out() for _ in range(100)]
    outcome = await site.run()
    assert (outcome.to, outcome.changes["failures"]) == (Status.QUEUED, 1)


async def test_a_data_source_that_is_not_configured_any_more_fails_the_request(site: Site) -> None:
    outcome = await site.run(datasource="removed")
    assert outcome.to is Status.FAILED
    assert outcome.changes["user_message"] == "The data source of this request is no longer available."


async def test_what_may_succeed_another_time_is_queued_again(site: Site) -> None:
    site.child.error = TemporaryError("out of order")
    outcome = await site.run()
    assert (outcome.to, outcome.changes["failures"], outcome.changes["delay"]) == (Status.QUEUED, 1, 1.0)
    assert outcome.changes["user_message"] == "Attempt 1 failed: out of order\nTrying again."


async def test_the_data_source_says_how_often_it_is_tried(site: Site) -> None:
    site.child.error = TemporaryError("out of order")
    outcome = await site.run(failures=1)
    assert outcome.to is Status.FAILED
    assert outcome.changes["user_message"] == "out of order\nGiven up after 2 attempts."


async def test_one_that_takes_too_long_has_failed_once(site: Site) -> None:
    site.settings = site.settings.model_copy(update={"timeout": 0.01})
    site.never = True
    outcome = await site.run()
    assert (outcome.to, outcome.changes["failures"]) == (Status.QUEUED, 1)
    assert "It took longer than 0.01 seconds." in outcome.changes["user_message"]


async def test_an_outage_of_the_staging_counts_for_no_failure(site: Site) -> None:
    site.staging.error = StagingUnavailableError("away")
    outcome = await site.run()
    assert outcome.to is Status.QUEUED
    assert "failures" not in outcome.changes


@pytest.mark.parametrize(
    ("error", "to", "message"),
    [
        (
            ObjectTooLargeError(20, 10),
            Status.FAILED,
            "The result has 20 bytes or more; there is room for 10.",
        ),
        (LargestObjectError("full"), Status.QUEUED, "There was no room for the result"),
    ],
)
async def test_a_result_without_room_is_the_fault_of_the_request(
    site: Site, error: Exception, to: Status, message: str
) -> None:
    site.staging.error = error
    outcome = await site.run()
    assert outcome.to is to
    assert message in outcome.changes["user_message"]


@pytest.mark.parametrize("announced", [None, 11])
async def test_a_result_above_the_limit_of_its_data_source_fails(site: Site, announced: int | None) -> None:
    site.child.announced, site.child.data = announced, b"x" * 11
    outcome = await site.run()
    assert outcome.to is Status.FAILED
    message = "The result has 11 bytes or more; at most 10 are allowed."
    assert outcome.changes["user_message"] == message


async def test_an_unexpected_error_is_raised(site: Site) -> None:
    site.child.error = ValueError("a fault of the program")
    with pytest.raises(ValueError, match="a fault of the program"):
        await site.run()
