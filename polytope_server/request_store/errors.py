"""What a request store raises."""

from __future__ import annotations

from polytope_server.runtime.unavailable import UnavailableError


class DuplicateRequestError(ValueError):
    """A request of that id is stored already."""


class StoreUnavailableError(UnavailableError):
    """The store cannot be reached at the moment; the caller may try again."""

    role = "request_store"


class UnknownStateError(StoreUnavailableError):
    """A request is in a state of a later version, and none of this process' business."""
