"""What a worker gives a child process to do: a job or a question, the data source, and a share of memory."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from typing import Any, Self

from polytope_server.datasource import Job, Question


@dataclass(frozen=True, slots=True)
class Assignment:
    """A job for a data source of a collection; `max_memory` is in bytes, None for no limit."""

    collection: str
    datasource: str
    max_memory: int | None
    job: Job

    def encode(self) -> bytes:
        """As the frame JOB has it."""
        job = _values(self.job)
        del job["tell"]
        return json.dumps({**_values(self), "job": job}).encode()

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """The assignment that :meth:`encode` has written."""
        found = json.loads(body)
        return cls(**{**found, "job": Job(**found["job"])})


@dataclass(frozen=True, slots=True)
class Inquiry:
    """A question for a data source of a collection; `max_memory` is in bytes, None for no limit."""

    collection: str
    datasource: str
    max_memory: int | None
    question: Question

    def encode(self) -> bytes:
        """As the frame QUESTION has it."""
        return json.dumps({**_values(self), "question": _values(self.question)}).encode()

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """The inquiry that :meth:`encode` has written."""
        found = json.loads(body)
        return cls(**{**found, "question": Question(**found["question"])})


def _values(instance: Any) -> dict[str, Any]:
    # Not `asdict`, which copies the request, however large it is.
    return {one.name: getattr(instance, one.name) for one in fields(instance)}
