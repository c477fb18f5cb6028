"""Requests and users for tests, and steps that several tests of a request store begin with."""

from __future__ import annotations

from collections.abc import Collection

from polytope_server.request import Request, Status
from polytope_server.request_store import Removed, RequestStore
from polytope_server.user import User

ALICE = User("alice", "testrealm", ("default", "member"), {"ecmwf-apikey": "secret"})
BOB = User("bob", "testrealm")

#: Seconds: stores may round to the millisecond.
ROUNDED = 0.001


def make(
    user: User = ALICE, collection: str = "c", status: Status = Status.WAITING, **fields: object
) -> Request:
    """A request for a test."""
    return Request(user, collection, status=status, **fields)  # type: ignore[arg-type]


async def queue(store: RequestStore, *requests: Request) -> None:
    """Take waiting requests to queued, as the leading broker does."""
    term = await store.lead("broker", "b", 60)
    assert term is not None
    ids = [request.id for request in requests]
    assert await store.promote(ids, "b", term) == set(ids)


async def claimed(store: RequestStore, lease: float = 60, **fields: object) -> Request:
    """A new request that worker `w` has claimed."""
    request = make(**fields)  # type: ignore[arg-type]
    await store.add(request)
    await queue(store, request)
    (found,) = await store.claim([request.id], "w", lease)
    return found


async def removed_all(store: RequestStore, user_id: str, statuses: Collection[Status]) -> list[Removed]:
    """All that a removal removed."""
    return [removed async for part in store.remove_all(user_id, statuses) for removed in part]
