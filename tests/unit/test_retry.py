"""What becomes of a request whose attempt did not succeed."""

from __future__ import annotations

import pytest

from polytope_server.request import Request, Status
from polytope_server.retry import after_failure, after_lost_lease, after_outage
from polytope_server.settings.processes import WorkerSettings
from polytope_server.user import User

USER = User("alice", "test")
POLICY = WorkerSettings.model_validate({"retry_delay": 1, "max_attempts": 9, "max_lost_leases": 9})


@pytest.mark.parametrize(("failures", "delay"), [(0, 1.0), (1, 2.0), (2, 4.0), (6, 60.0)])
def test_each_failure_doubles_the_delay_up_to_a_minute(failures: int, delay: float) -> None:
    status, changes = after_failure(Request(USER, "c", failures=failures), "away", POLICY, None)
    assert (status, changes["failures"], changes["delay"]) == (Status.QUEUED, failures + 1, delay)


@pytest.mark.parametrize(("max_attempts", "failures"), [(None, 8), (3, 2)])
def test_after_as_many_failures_as_there_may_be_the_request_fails(
    max_attempts: int | None, failures: int
) -> None:
    """The number of the data source counts before that of the worker."""
    status, changes = after_failure(Request(USER, "c", failures=failures), "away", POLICY, max_attempts)
    assert status is Status.FAILED
    assert changes["user_message"] == f"away\nGiven up after {failures + 1} attempts."


def test_a_request_that_may_be_tried_once_fails_with_the_reason_alone() -> None:
    status, changes = after_failure(Request(USER, "c"), "away", POLICY, 1)
    assert (status, changes["user_message"]) == (Status.FAILED, "away")


@pytest.mark.parametrize(("lost", "delay"), [(0, 0.0), (1, 1.0), (2, 2.0)])
def test_a_lost_lease_counts_for_no_failure_and_the_first_costs_no_delay(lost: int, delay: float) -> None:
    status, changes = after_lost_lease(Request(USER, "c", lost_leases=lost), POLICY)
    assert (status, changes["lost_leases"], changes["delay"]) == (Status.QUEUED, lost + 1, delay)
    assert "failures" not in changes


def test_a_request_that_loses_its_lease_too_often_fails() -> None:
    status, changes = after_lost_lease(Request(USER, "c", lost_leases=8), POLICY)
    assert status is Status.FAILED
    assert changes["user_message"] == "The worker ended unexpectedly.\nGiven up after 9 attempts."


def test_an_outage_that_lasts_too_long_fails_the_request() -> None:
    request = Request(USER, "c", status=Status.PROCESSING)
    request.status_history[Status.PROCESSING] = 1000.0
    settings = WorkerSettings.model_validate({"timeout": 200, "retry_delay": 1})
    status, changes = after_outage(request, settings, 1100.0)
    assert (status, changes["delay"]) == (Status.QUEUED, 25.0)
    status, changes = after_outage(request, WorkerSettings.model_validate({"timeout": 50}), 1100.0)
    assert (status, changes["user_message"]) == (
        Status.FAILED,
        "The result could not be stored. Please try again later.",
    )
