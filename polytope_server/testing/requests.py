"""Requests and users for tests."""

from __future__ import annotations

from polytope_server.request import Request, Status
from polytope_server.user import User

ALICE = User("alice", "testrealm", ("default", "member"), {"ecmwf-apikey": "secret"})
BOB = User("bob", "testrealm")


def make(
    user: User = ALICE, collection: str = "c", status: Status = Status.WAITING, **fields: object
) -> Request:
    """A request for a test."""
    return Request(user, collection, status=status, **fields)  # type: ignore[arg-type]
