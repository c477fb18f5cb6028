"""Requests as rows of SQL databases: their table, their conditions, and the way to and from :class:`Request`.

The columns are the fields of :class:`Request`, and `url` for processes of earlier versions; JSON is text.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import fields
from functools import lru_cache
from typing import Any

from polytope_server.drivers.sql import Column, Dialect, Row, Schema
from polytope_server.request import Input, Request, Status, Verb
from polytope_server.request_store import RequestSummary, Selection, States, new_summary
from polytope_server.request_store.url import correct, decode_input, encode_input, staged_name
from polytope_server.user import User

#: No sequence is larger.
LAST = 2**63 - 1

#: The conditions of partial indexes, to be repeated to the letter by a statement that is to use one. No other
#: statement has them, so that none that knows the ids looks for them among all that wait.
WAITING, ACTIVE = "status || '' = 'waiting'", "status || '' IN ('queued', 'processing')"
_ACTIVE_INDEX = f"CREATE INDEX IF NOT EXISTS requests_active ON requests (sequence) WHERE {ACTIVE}"
_WAITING_INDEX = f"CREATE INDEX IF NOT EXISTS requests_waiting ON requests (sequence) WHERE {WAITING}"

#: Version 2 added the column `sealed`, version 3 `lost_leases` and indexes by submission; `requests_user` was
#: the first columns of one of them. Version 4 added `input` and `result`, which were one column `url`,
#: version 5 added `via`.
SCHEMA = Schema(
    "requests",
    5,
    """
CREATE TABLE IF NOT EXISTS requests (
    sequence {sequence},
    id {text} NOT NULL UNIQUE,
    user_id {text} NOT NULL,
    "user" {text} NOT NULL,
    collection {text} NOT NULL,
    verb {text} NOT NULL,
    status {text} NOT NULL,
    timestamp {real} NOT NULL,
    last_modified {real} NOT NULL,
    user_message {text} NOT NULL,
    user_request {text} NOT NULL,
    coerced_request {text} NOT NULL,
    url {text} NOT NULL,
    md5 {text},
    content_length {integer},
    content_type {text} NOT NULL,
    datasource {text} NOT NULL,
    status_history {text} NOT NULL,
    attempt {integer} NOT NULL,
    failures {integer} NOT NULL,
    not_before {real} NOT NULL,
    worker {text} NOT NULL,
    lease_until {real} NOT NULL
);
CREATE INDEX IF NOT EXISTS requests_owner ON requests (user_id, status, sequence);
CREATE INDEX IF NOT EXISTS requests_owner_collection ON requests (user_id, collection, status, sequence);
CREATE INDEX IF NOT EXISTS requests_status ON requests (status, last_modified);
CREATE TABLE IF NOT EXISTS leases (
    name {text} PRIMARY KEY, holder {text} NOT NULL, until {real} NOT NULL, term {integer} NOT NULL
);
CREATE TABLE IF NOT EXISTS tombstones (
    id {text} PRIMARY KEY, user_id {text} NOT NULL, removed_at {real} NOT NULL, reason {text} NOT NULL
);
CREATE INDEX IF NOT EXISTS tombstones_user ON tombstones (user_id, removed_at);
CREATE INDEX IF NOT EXISTS tombstones_age ON tombstones (removed_at)
"""
    f";{_WAITING_INDEX};{_ACTIVE_INDEX}",
    (
        Column("requests", "sealed", "{text} NOT NULL DEFAULT ''"),
        Column("requests", "lost_leases", "{integer} NOT NULL DEFAULT 0"),
        Column("requests", "downloaded", "{real} NOT NULL DEFAULT 0"),
        Column("requests", "input", "{text} NOT NULL DEFAULT ''"),
        Column("requests", "result", "{text} NOT NULL DEFAULT ''"),
        Column("requests", "via", "{text} NOT NULL DEFAULT ''"),
    ),
    # Holds all that the sums by user and the choice of what goes need: the rows themselves may be large.
    indexes="""
CREATE INDEX IF NOT EXISTS requests_results
ON requests (user_id, last_modified, downloaded, content_length, id, status) WHERE status = 'processed';
DROP INDEX IF EXISTS requests_user
""",
)

#: In the order of the fields of Request, so that they are its arguments.
_FIELDS = tuple(field.name for field in fields(Request))
_COLUMNS = (*_FIELDS, "url")
ALL = ", ".join(f'"{name}"' for name in _COLUMNS)
INSERT = f"INSERT INTO requests ({ALL}, user_id) VALUES (:{', :'.join(_COLUMNS)}, :user_id)"  # noqa: S608
#: The columns of :func:`to_staged_name`.
STAGED = "input, result, url"
#: In the order of the fields of RequestSummary, with the user for realm and roles.
SUMMARY = 'id, collection, user_id, "user", status, attempt, not_before, datasource, sequence'
_VERBS = {str(verb): verb for verb in Verb}
_STATUSES = States()
_decode = json.JSONDecoder().decode


def conditions(
    dialect: Dialect,
    *,
    ids: Sequence[str] | None = None,
    user_id: str | None = None,
    collection: str | None = None,
    statuses: Collection[Status] | None = None,
) -> tuple[str, dict[str, Any]]:
    """The WHERE clause of all the conditions given, and its parameters."""
    clauses, parameters = ["TRUE"], dict[str, Any]()
    if ids is not None:
        if len(ids) == 1:
            clauses, parameters = ["id = :id"], {"id": ids[0]}
        else:
            clauses.append(dialect.among("id", "ids"))
            parameters["ids"] = dialect.listed(ids)
    if user_id is not None:
        clauses.append("user_id = :user_id")
        parameters["user_id"] = user_id
    if collection is not None:
        clauses.append("collection = :collection")
        parameters["collection"] = collection
    if statuses is not None:
        # Where ids are given, not by state, among all that wait.
        column = "status" if ids is None else dialect.not_sought("status")
        # A list without members is no SQL everywhere.
        states = ", ".join(repr(str(status)) for status in sorted(statuses)) or "NULL"
        clauses.append(f"{column} IN ({states})")
    return " AND ".join(clauses), parameters


def selected(
    dialect: Dialect, columns: str, selection: Selection, limit: int, order: str = "sequence"
) -> tuple[str, dict[str, Any]]:
    """A query of the first `limit` rows of a selection, in the order of submission, or the newest first.

    `columns` have `sequence` among them; `order` is `sequence`, or `sequence DESC`.
    """
    where, parameters = conditions(dialect, user_id=selection.user_id, collection=selection.collection)
    where += " AND sequence > :after"
    parameters |= {"after": selection.after, "limit": limit}
    if selection.until is not None:
        where += " AND sequence <= :until"
        parameters["until"] = selection.until
    # Each state is a part of the index that is in this order.
    states = [
        f"SELECT {columns} FROM requests WHERE {where} AND status = '{status}'"  # noqa: S608
        for status in sorted(selection.statuses)
    ]
    return dialect.merged(states, order), parameters


def encode(name: str, value: Any) -> Any:
    """The value of a field of a request as it is stored."""
    return _ENCODERS[name](value) if name in _ENCODERS else value


def to_row(request: Request) -> dict[str, Any]:
    """The parameters of :data:`INSERT`."""
    row = {name: encode(name, getattr(request, name)) for name in _COLUMNS}
    return row | {"user_id": request.user.id}


def to_request(row: Row) -> Request:
    """The request of a row with the columns :data:`ALL`."""
    # PERF: on the path of every poll, and a hundred times for a page of a list. Only what is kept in another
    # form is touched; keyword arguments, or a named tuple between, take a third longer.
    *values, url = row
    for position, decode in _DECODED:
        values[position] = decode(values[position])
    return correct(Request(*values), url)


def to_staged_name(source: str, result: str, url: str) -> str:
    """The name of the staged object of a row with the columns :data:`STAGED`."""
    return staged_name(_decode_input(source), result, url)


def to_summary(row: Row) -> RequestSummary:
    """The summary of a row with the columns :data:`SUMMARY`."""
    request_id, collection, user_id, document, status, attempt, not_before, datasource, sequence = row
    user = _to_user(document)
    return new_summary(
        *(request_id, collection, user_id, user.realm, user.roles, _STATUSES[status]),
        *(attempt, not_before, datasource, sequence),
    )


@lru_cache(maxsize=1000)  # the same few users again and again, on the path of every poll
def _to_user(document: str) -> User:
    return User.from_document(json.loads(document))


def _from_user(user: User) -> str:
    return json.dumps(user.to_document())


def _encode_input(source: Input | None) -> str:
    return json.dumps(encode_input(source)) if source is not None else ""


def _decode_input(text: str) -> Input | None:
    return decode_input(_decode(text)) if text else None


def _decode_via(text: str) -> tuple[str, ...]:
    return tuple(text.split(",")) if text else ()


#: The fields that are kept in another form: how they are written, and read.
_ENCODERS: dict[str, Callable[[Any], str]] = {
    "via": ",".join,
    "user": _from_user,
    "coerced_request": json.dumps,
    "status_history": json.dumps,
    "input": _encode_input,
}
_DECODERS: dict[str, Callable[[str], Any]] = {
    "user": _to_user,
    "verb": _VERBS.__getitem__,
    "coerced_request": _decode,
    "status": _STATUSES.__getitem__,
    "status_history": _decode,
    "input": _decode_input,
    "via": _decode_via,
}
_DECODED = tuple((_FIELDS.index(name), decode) for name, decode in _DECODERS.items())
