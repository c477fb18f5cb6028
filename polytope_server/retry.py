"""What becomes of a request whose attempt did not succeed."""

from __future__ import annotations

import time
from typing import Any

from polytope_server.config.settings import WorkerSettings
from polytope_server.request import Request, Status

_LONGEST_DELAY = 60.0


def after_failure(
    request: Request, reason: str, settings: WorkerSettings, max_attempts: int | None
) -> tuple[Status, dict[str, Any]]:
    """The next state of a request in processing whose attempt failed, and the fields to set with it.

    It is queued again, after a pause that doubles each time, until it was tried `max_attempts` times
    (the data source's own number, else that of the worker); then it fails with the reason of the last one.
    """
    failures = request.failures + 1
    changes: dict[str, Any] = {"failures": failures, "worker": "", "lease_until": 0.0}
    allowed = max_attempts or settings.max_attempts
    if failures >= allowed:
        tries = f"\nGiven up after {failures} attempts." if failures > 1 else ""
        return Status.FAILED, changes | {"user_message": f"{reason}{tries}"}
    delay = min(settings.retry_delay * 2 ** (failures - 1), _LONGEST_DELAY)
    message = f"Attempt {failures} failed: {reason}\nTrying again."
    return Status.QUEUED, changes | {"not_before": time.time() + delay, "user_message": message}


def after_outage(request: Request, settings: WorkerSettings) -> tuple[Status, dict[str, Any]]:
    """The same for an attempt that only the staging kept from succeeding: that counts for no failure.

    It is queued again, after a pause that grows with the time for which the request has been tried, and fails
    when that exceeds `worker.timeout`.
    """
    now = time.time()
    tried = now - request.status_history.get(Status.PROCESSING, now)
    changes: dict[str, Any] = {"worker": "", "lease_until": 0.0}
    if tried > settings.timeout:
        return Status.FAILED, changes | {
            "user_message": "The result could not be stored. Please try again later."
        }
    delay = min(max(settings.retry_delay, tried / 4), _LONGEST_DELAY)
    message = "The result could not be stored.\nTrying again."
    return Status.QUEUED, changes | {"not_before": now + delay, "user_message": message}
