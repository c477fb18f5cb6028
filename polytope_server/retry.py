"""What becomes of a request whose attempt did not succeed."""

from __future__ import annotations

from typing import Any, Protocol

from polytope_server.back_off import exponential
from polytope_server.request import Request, Status

_LONGEST_DELAY = 60.0


class RetryPolicy(Protocol):
    """How often and when a request is tried again: keys of the section `worker`. Times are in seconds."""

    @property
    def retry_delay(self) -> float: ...
    @property
    def max_attempts(self) -> int: ...
    @property
    def max_lost_leases(self) -> int: ...
    @property
    def timeout(self) -> float: ...


def after_failure(
    request: Request, reason: str, policy: RetryPolicy, max_attempts: int | None
) -> tuple[Status, dict[str, Any]]:
    """The next state of a request in processing whose attempt failed, and the arguments of that transition.

    It is queued again, after a pause that doubles each time, until it was tried `max_attempts` times
    (the data source's own number, else that of the worker); then it fails with the reason of the last one.
    """
    failures = request.failures + 1
    changes: dict[str, Any] = {"failures": failures, "worker": "", "lease_until": 0.0}
    allowed = max_attempts or policy.max_attempts
    if failures >= allowed:
        tries = f"\nGiven up after {failures} attempts." if failures > 1 else ""
        return Status.FAILED, changes | {"user_message": f"{reason}{tries}"}
    message = f"Attempt {failures} failed: {reason}\nTrying again."
    return Status.QUEUED, changes | {"delay": _delay(policy, failures), "user_message": message}


def after_lost_lease(request: Request, policy: RetryPolicy) -> tuple[Status, dict[str, Any]]:
    """The same for an attempt whose lease has ended, which need not be a fault of the request.

    Its worker was killed, its machine went away, or it could not reach the store. So it counts for no
    failure; but a request that kills each worker must end, too: after `worker.max_lost_leases`. The first
    time there is no pause.
    """
    lost = request.lost_leases + 1
    changes: dict[str, Any] = {"lost_leases": lost, "worker": "", "lease_until": 0.0}
    reason = "The worker ended unexpectedly."
    if lost >= policy.max_lost_leases:
        return Status.FAILED, changes | {"user_message": f"{reason}\nGiven up after {lost} attempts."}
    delay = _delay(policy, lost - 1) if lost > 1 else 0.0
    return Status.QUEUED, changes | {"delay": delay, "user_message": f"{reason}\nTrying again."}


def after_outage(request: Request, policy: RetryPolicy, now: float) -> tuple[Status, dict[str, Any]]:
    """The same for an attempt that only the staging kept from succeeding: that counts for no failure.

    It is queued again, after a pause that grows with the time for which the request has been tried, and fails
    when that exceeds `worker.timeout`. `now` is the time of the store.
    """
    tried = now - request.status_history.get(Status.PROCESSING, now)
    changes: dict[str, Any] = {"worker": "", "lease_until": 0.0}
    if tried > policy.timeout:
        return Status.FAILED, changes | {
            "user_message": "The result could not be stored. Please try again later."
        }
    delay = min(max(policy.retry_delay, tried / 4), _LONGEST_DELAY)
    message = "The result could not be stored.\nTrying again."
    return Status.QUEUED, changes | {"delay": delay, "user_message": message}


def _delay(policy: RetryPolicy, failures: int) -> float:
    return exponential(policy.retry_delay, _LONGEST_DELAY, failures)
