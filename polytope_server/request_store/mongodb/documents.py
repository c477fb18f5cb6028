"""Requests as documents of MongoDB: their fields, their indexes, and the way to and from :class:`Request`.

The fields are those of :class:`Request`, but for these:

* `_id` is the id; `state` is the status; the user is in `user_id`, `username`, `realm` and `roles`. Documents
  of earlier servers, which may be in the same collection, have other names there (`status`, `user`), so that
  neither server takes up what the other has stored.
* `coerced_request` is JSON text: its keys may be of any form, and its numbers of any size.
* `input` is a document, null without an input; `url` is there for processes of earlier versions.
* `sequence` keeps the order of submission, `promotion` names the last promotion.
* `downloaded` is when the result was downloaded first, in documents of which that is known.
* `tombstone` is in what is left of a request that the garbage collector removed, with nothing beside it but
  `_id` and `user_id`. It holds `removed_at`, `reason`, and `burial`, which names the removal.
* `removed_at`, `removal` and `removed_from` mark what is about to be deleted. Such a document has no `state`
  any more, so that no query finds it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Any

from pymongo import IndexModel

from polytope_server.drivers.mongodb import Document
from polytope_server.drivers.mongodb.schema import MongoDBSchema
from polytope_server.request import Request, Status, Verb
from polytope_server.request_store import Digest, Removed, RequestSummary, Selection, States, new_summary
from polytope_server.request_store.url import correct, decode_input, encode_input, staged_name, with_url
from polytope_server.user import User

Index = list[tuple[str, int]]
BY_ID: Index = [("_id", 1)]
BY_STATE: Index = [("state", 1), ("sequence", 1)]
BY_USER: Index = [("user_id", 1), ("state", 1), ("sequence", 1)]
BY_COLLECTION: Index = [("user_id", 1), ("collection", 1), ("state", 1), ("sequence", 1)]
BY_AGE: Index = [("state", 1), ("last_modified", 1)]
BY_LEASE: Index = [("lease_until", 1)]
BY_REMOVAL: Index = [("removed_at", 1)]
#: Holds all that the sums by user and the choice of what goes need: the documents may be large.
BY_RESULT: Index = [
    *(("state", 1), ("user_id", 1), ("last_modified", 1)),
    *(("downloaded", 1), ("content_length", 1), ("_id", 1)),
]
BY_TOMBSTONE: Index = [("user_id", 1), ("tombstone.removed_at", 1)]
BY_BURIAL: Index = [("tombstone.removed_at", 1)]

#: What a process left behind that ended in the middle of a removal is deleted after this many seconds.
_REMOVAL_TIME = 600

#: Every query names the one that serves it, so each must be there, and be found by its fields. One that is to
#: have other options needs another name.
INDEXES = (
    IndexModel(BY_STATE),
    IndexModel(BY_USER),
    IndexModel(BY_COLLECTION),
    IndexModel(BY_AGE),
    IndexModel(BY_LEASE, partialFilterExpression={"state": str(Status.PROCESSING)}),
    IndexModel(BY_REMOVAL, sparse=True, expireAfterSeconds=_REMOVAL_TIME),
    IndexModel(BY_RESULT, partialFilterExpression={"state": str(Status.PROCESSED)}),
    IndexModel(BY_TOMBSTONE, partialFilterExpression={"tombstone.removed_at": {"$exists": True}}),
    IndexModel(BY_BURIAL, sparse=True),
)
#: Version 2 added the field `sealed`, version 3 `lost_leases`, `downloaded`, `tombstone`, and indexes,
#: version 4 `input` and `result`, which were one field `url`, version 5 `via`.
SCHEMA = MongoDBSchema(5, INDEXES)
#: In the expressions of a query or an update: the server's time when it began with it, in seconds.
NOW: Document = {"$divide": [{"$toLong": "$$NOW"}, 1000.0]}
#: The condition that a lease has ended.
EXPIRED: Document = {"$expr": {"$lt": ["$lease_until", NOW]}}

#: The fields of a summary.
SUMMARY = {
    "_id": 1,
    "collection": 1,
    "user_id": 1,
    "realm": 1,
    "roles": 1,
    "state": 1,
    "attempt": 1,
    "not_before": 1,
    "datasource": 1,
    "sequence": 1,
}
#: The key of summaries by which they are sorted.
SEQUENCE = attrgetter("sequence")

#: The fields of :func:`to_staged_name`.
STAGED = {"input": 1, "result": 1, "url": 1}
#: The fields of what is left of a removed request.
REMOVED = {"_id": 1, "collection": 1, "removed_from": 1, **STAGED}
#: Bytes of the texts of a request, as :attr:`Request.text_size` counts them.
TEXT_SIZE = {"$add": [{"$strLenBytes": "$user_request"}, {"$strLenBytes": "$coerced_request"}]}

_VERBS = {str(verb): verb for verb in Verb}
_STATUSES = States()
_decode = json.JSONDecoder().decode


class SubmissionOrder:
    """Numbers that grow: microseconds of a clock, and one more than the last where that stands still.

    Of several processes they are as well ordered as their clocks agree.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        """`now` tells the time in seconds."""
        self._now = now
        self._last = 0

    def next(self) -> int:
        """The next number."""
        self._last = max(self._last + 1, int(self._now() * 1_000_000))
        return self._last


def condition(
    *,
    user_id: str | None = None,
    collection: str | None = None,
    statuses: Collection[Status] | None = None,
) -> Document:
    """The filter of all the conditions given, and of states always: only requests of this server have one."""
    states = list(_STATUSES) if statuses is None else [str(status) for status in statuses]
    found: Document = {} if user_id is None else {"user_id": user_id}
    found["state"] = states[0] if len(states) == 1 else {"$in": states}
    if collection is not None:
        found["collection"] = collection
    return found


def selected(selection: Selection) -> tuple[Document, Index]:
    """The filter of a selection, and the index that has it in order: for each state, which MongoDB merges."""
    found = condition(user_id=selection.user_id, collection=selection.collection, statuses=selection.statuses)
    found["sequence"] = {"$gt": selection.after}
    if selection.until is not None:
        found["sequence"]["$lte"] = selection.until
    return found, BY_USER if selection.collection is None else BY_COLLECTION


def some(values: Sequence[str]) -> Any:
    """The condition that a field has one of the values."""
    return values[0] if len(values) == 1 else {"$in": values}


def step(to: Status, changes: Mapping[str, Any], **expressions: Any) -> list[Document]:
    """The update for a step to a state, with the fields of a request to set, and others by expressions.

    The time of the first entry into a state stays.
    """
    entered = f"status_history.{to}"
    fields = {name: {"$literal": encode(name, value)} for name, value in with_url(changes).items()}
    fields |= expressions
    first = {"$ifNull": [f"${entered}", NOW]}
    return [{"$set": {**fields, "state": str(to), "last_modified": NOW, entered: first}}]


def after(seconds: float) -> Document:
    """The expression for the server's time `seconds` from now."""
    return {"$add": [NOW, seconds]}


def encode(name: str, value: Any) -> Any:
    """The value of a field of a request as it is stored."""
    if name == "input":
        return encode_input(value)
    return json.dumps(value) if name == "coerced_request" else value


def to_document(request: Request, sequence: int) -> Document:
    """The document of a new request."""
    user = request.user
    return {
        "_id": request.id,
        "user_id": user.id,
        "username": user.username,
        "realm": user.realm,
        "roles": list(user.roles),
        "collection": request.collection,
        "verb": str(request.verb),
        "user_request": request.user_request,
        "coerced_request": json.dumps(request.coerced_request),
        "timestamp": request.timestamp,
        "last_modified": request.last_modified,
        "state": str(request.status),
        "user_message": request.user_message,
        "input": encode_input(request.input),
        "result": request.result,
        "url": request.url,
        "md5": request.md5,
        "content_length": request.content_length,
        "content_type": request.content_type,
        "datasource": request.datasource,
        "status_history": {str(status): when for status, when in request.status_history.items()},
        "attempt": request.attempt,
        "failures": request.failures,
        "not_before": request.not_before,
        "worker": request.worker,
        "lease_until": request.lease_until,
        "sealed": request.sealed,
        "lost_leases": request.lost_leases,
        "via": list(request.via),
        "sequence": sequence,
    }


def to_request(document: Document) -> Request:
    """The request of a document; one that is about to be deleted is as it was before."""
    # PERF: on the path of every poll; positions take three quarters of the time of names.
    request = Request(
        _user(document["username"], document["realm"], *document["roles"]),
        document["collection"],
        _VERBS[document["verb"]],
        document["user_request"],
        _decode(document["coerced_request"]),
        document["_id"],
        document["timestamp"],
        document["last_modified"],
        _STATUSES[document.get("state") or document["removed_from"]],
        document["user_message"],
        decode_input(document.get("input")),  # which documents of earlier versions have not
        document.get("result", ""),
        document["md5"],
        document["content_length"],
        document["content_type"],
        document["datasource"],
        document["status_history"],
        document["attempt"],
        document["failures"],
        document["not_before"],
        document["worker"],
        document["lease_until"],
        document.get("sealed", ""),
        document.get("lost_leases", 0),
        tuple(document.get("via", ())),
    )
    return correct(request, document.get("url", ""))


def to_removed(document: Document) -> Removed:
    """What is left of a request that is about to be deleted."""
    status = _STATUSES[document["removed_from"]]
    return Removed(document["_id"], document["collection"], status, to_staged_name(document))


def to_staged_name(document: Document) -> str:
    """The name of the staged object of a document of which at least :data:`STAGED` was read."""
    source, result = decode_input(document.get("input")), document.get("result", "")
    return staged_name(source, result, document.get("url", ""))


def text_size(document: Document) -> int:
    """How many characters the texts of a request have."""
    return len(document["user_request"]) + len(document["coerced_request"]) + len(document["user_message"])


def to_summary(document: Document) -> RequestSummary:
    """The summary of a document of which at least :data:`SUMMARY` was read."""
    return new_summary(
        document["_id"],
        document["collection"],
        document["user_id"],
        document["realm"],
        tuple(document["roles"]),
        _STATUSES[document["state"]],
        document["attempt"],
        document["not_before"],
        document["datasource"],
        document["sequence"],
    )


def digest_of(where: Document, limit: int) -> list[Document]:
    """The stages that make the digest of the first requests that meet a condition, by :data:`BY_STATE`."""
    rest = {"$mod": ["$sequence", Digest.MODULUS]}
    return [
        *({"$match": where}, {"$sort": {"state": 1, "sequence": 1}}, {"$limit": limit}),
        {"$project": {"_id": 0, "rest": rest}},
        {
            "$group": {
                "_id": None,
                "count": {"$sum": 1},
                "total": {"$sum": "$rest"},
                "squares": {"$sum": {"$multiply": ["$rest", "$rest"]}},
            }
        },
    ]


@lru_cache(maxsize=1000)  # the same few users again and again
def _user(username: str, realm: str, *roles: str) -> User:
    return User(username, realm, roles)
