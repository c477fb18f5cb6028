"""Why the frontend does not do what a user asks for. How that is answered is for each API to say."""

from __future__ import annotations

from enum import Enum, auto
from typing import NoReturn

from polytope_server.request import Request
from polytope_server.texts import encodable

#: An id or a name of the caller is repeated in a message up to this length.
_SHOWN = 100


class Kind(Enum):
    """What stands against a call."""

    INVALID = auto()  #: what was sent is wrong, or does not fit the state of the request
    FORBIDDEN = auto()  #: this user may not do that
    TOO_LARGE = auto()  #: what was sent has too many bytes
    TOO_MANY = auto()  #: the user, or all users together, have as much as they may have
    BUSY = auto()  #: too many transfers run
    UNSUPPORTED = auto()  #: this server is not configured for that
    UNAVAILABLE = auto()  #: something that this server needs cannot be reached
    NO_ROOM = auto()  #: the staging is full

    @property
    def is_failure(self) -> bool:
        """Whether the server is the reason, and not the caller."""
        return self in _FAILURES


_FAILURES = frozenset({Kind.UNSUPPORTED, Kind.UNAVAILABLE, Kind.NO_ROOM})


class RefusedError(Exception):
    """A call is refused; the reason is a message for the caller."""

    def __init__(self, kind: Kind, reason: str, retry_after: float | None = None) -> None:
        """`retry_after` is the number of seconds until it may succeed; None if that is not known."""
        super().__init__(reason)
        self.kind = kind
        self.reason = reason
        self.retry_after = retry_after


class FailedRequestError(Exception):
    """The caller's request failed."""

    def __init__(self, request: Request) -> None:
        super().__init__(request.id)
        self.request_id = request.id
        self.reason = request.user_message


def shown(text: str) -> str:
    """A word of the caller for use in a message: bounded, and fit to be encoded."""
    return encodable(text[:_SHOWN])


def refuse_draft(reason: str) -> NoReturn:
    """Refuse a submission because of what its user has written. Raises RefusedError."""
    raise RefusedError(Kind.INVALID, reason) from None
