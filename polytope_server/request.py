"""The request: its fields, its states, and which state may follow which.

Every store, process and test takes the states and their transitions from the table in this module.
"""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from polytope_server.media_types import OCTET_STREAM
from polytope_server.user import User


class Status(StrEnum):
    """Where a request stands in its life."""

    UPLOADING = "uploading"  #: an archive that waits for its data
    WAITING = "waiting"  #: accepted; the broker has not yet chosen it
    QUEUED = "queued"  #: chosen by the broker; waits for a free worker
    PROCESSING = "processing"  #: claimed by a worker, under a lease
    PROCESSED = "processed"  #: done, its result is in staging
    FAILED = "failed"  #: ended with a message for the user


class Verb(StrEnum):
    """What a request does."""

    RETRIEVE = "retrieve"
    ARCHIVE = "archive"


#: The legal transitions. A removal (revoke, garbage collection) is possible from every state.
TRANSITIONS: dict[Status, frozenset[Status]] = {
    Status.UPLOADING: frozenset({Status.WAITING}),
    # waiting -> waiting and queued -> queued: an upload is replaced before it is processed;
    # processing -> processing: its message changes
    Status.WAITING: frozenset({Status.WAITING, Status.QUEUED, Status.FAILED}),
    Status.QUEUED: frozenset({Status.QUEUED, Status.PROCESSING, Status.FAILED}),
    Status.PROCESSING: frozenset({Status.PROCESSING, Status.QUEUED, Status.PROCESSED, Status.FAILED}),
    Status.PROCESSED: frozenset(),
    Status.FAILED: frozenset(),
}

#: States that a request never leaves, but by removal.
TERMINAL = frozenset({Status.PROCESSED, Status.FAILED})
#: States that count as live for `GET /api/v1/user`.
LIVE = frozenset(Status) - TERMINAL


class IllegalTransitionError(ValueError):
    """A transition that :data:`TRANSITIONS` does not hold; always a fault of the caller."""


def check_transition(current: Status, to: Status) -> None:
    """Raise :class:`IllegalTransitionError` unless `to` may follow `current`."""
    if to not in TRANSITIONS[current]:
        raise IllegalTransitionError(f"a request cannot go from {current} to {to}")


@dataclass(frozen=True, slots=True)
class Upload:
    """Input that the user has uploaded: the name of the object in staging."""

    name: str


@dataclass(frozen=True, slots=True)
class Address:
    """Input that another server holds, at this URL; the worker reads it there."""

    url: str


#: The input of an archive request.
Input = Upload | Address


@dataclass(slots=True)
class Request:
    """A user's request, as the request store keeps it.

    Times are seconds since the epoch, by the clock of the request store. `attempt` is the number of the
    current (or last) claim and the fencing token of invariant 4; `failures` counts the attempts that failed,
    `lost_leases` those whose lease ended: their worker died, or could not reach the store. `not_before` is
    when a retried request may run again; `worker` and `lease_until` are the lease. `input` is that of an
    archive, None until it is uploaded; `result` is the name of the staged result, empty until there is one.
    Sizes are in bytes. `sealed` are the secrets of the user that its data source needs
    (:mod:`polytope_server.secrets.sealing`), until it ends. `via` are the ids of the requests at other
    servers for which a peer has made it, the first one first.
    """

    user: User
    collection: str
    verb: Verb = Verb.RETRIEVE
    user_request: str = ""
    coerced_request: dict[str, Any] = field(default_factory=dict)
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    timestamp: float = field(default_factory=time.time)
    last_modified: float = 0.0
    status: Status = Status.WAITING
    user_message: str = ""
    input: Input | None = None
    result: str = ""
    md5: str | None = None
    content_length: int | None = None
    content_type: str = OCTET_STREAM
    datasource: str = ""
    status_history: dict[str, float] = field(default_factory=dict)
    attempt: int = 0
    failures: int = 0
    not_before: float = 0.0
    worker: str = ""
    lease_until: float = 0.0
    sealed: str = field(default="", repr=False)
    lost_leases: int = 0
    via: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.last_modified = self.last_modified or self.timestamp
        if not self.status_history:
            self.status_history = {self.status: self.timestamp}

    @property
    def url(self) -> str:
        """`input` and `result` as one text: the `url` of lists, and what earlier versions keep instead."""
        return url_of(self.input, self.result)

    @property
    def staged(self) -> str:
        """The name of its object in staging: the result, or the upload. Empty if it has none."""
        return staged_of(self.input, self.result)

    def to_document(self) -> dict[str, Any]:
        """The document of the list routes: without lease, attempt and secrets."""
        # PERF: thousands for one list; `asdict` copies all that is in it, which takes ten times as long.
        document = {name: getattr(self, name) for name in _SHOWN}
        document["user"] = self.user.to_document()
        return document

    @property
    def text_size(self) -> int:
        """Bytes of its texts, those that its user can make long: as sent, and as its data source gets it."""
        return len(self.user_request.encode()) + len(json.dumps(self.coerced_request))


#: How `url` begins before the name of an upload, and of a result.
_UPLOAD_URL, _RESULT_URL = "staging:", "./downloads/"


def url_of(source: Input | None, result: str) -> str:
    """The :attr:`Request.url` of that input and result."""
    if result:
        return f"{_RESULT_URL}{result}"
    if isinstance(source, Upload):
        return f"{_UPLOAD_URL}{source.name}"
    return source.url if source is not None else ""


def staged_of(source: Input | None, result: str) -> str:
    """The :attr:`Request.staged` of that input and result."""
    return result or (source.name if isinstance(source, Upload) else "")


def parse_url(url: str) -> tuple[Input | None, str]:
    """The input and the result of a :attr:`Request.url`."""
    if url.startswith(_RESULT_URL):
        return None, url.removeprefix(_RESULT_URL)
    if url.startswith(_UPLOAD_URL):
        return Upload(url.removeprefix(_UPLOAD_URL)), ""
    return Address(url) if url else None, ""


#: What users see of a request.
_SHOWN = (
    *("user", "collection", "verb", "user_request", "coerced_request", "id", "timestamp", "last_modified"),
    *("status", "user_message", "url", "md5", "content_length", "content_type", "datasource"),
    "status_history",
)
