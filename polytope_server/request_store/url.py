"""The field `url` of stored requests, which earlier versions have instead of `input` and `result`.

Processes of this version write all three, so that both work on one store. A later version leaves `url` out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from polytope_server.request import Address, Input, Request, Upload, parse_url, staged_of, url_of

#: The fields that `url` is made of.
_PARTS = frozenset({"input", "result"})


def with_url(changes: Mapping[str, Any]) -> dict[str, Any]:
    """The fields to set in a store: with `url`, where it changes."""
    if _PARTS.isdisjoint(changes):
        return dict(changes)
    return {**changes, "url": url_of(changes.get("input"), changes.get("result", ""))}


def correct(request: Request, url: str) -> Request:
    """The request, which was read with that `url`, as the last process that changed it has written it."""
    if _was_written_last(url, request.url):
        request.input, request.result = parse_url(url)
    return request


def staged_name(source: Input | None, result: str, url: str) -> str:
    """The name of the staged object of a request that was read with these fields."""
    if _was_written_last(url, url_of(source, result)):
        source, result = parse_url(url)
    return staged_of(source, result)


def _was_written_last(url: str, derived: str) -> bool:
    """Whether an earlier version has written `url` after the other fields, which say `derived`.

    An empty one says nothing: a later version leaves it out.
    """
    return bool(url) and url != derived


def encode_input(source: Input | None) -> dict[str, str] | None:
    """An input as stores keep it."""
    if source is None:
        return None
    return {"upload": source.name} if isinstance(source, Upload) else {"address": source.url}


def decode_input(document: Mapping[str, str] | None) -> Input | None:
    """An input of the form that :func:`encode_input` gives."""
    if document is None:
        return None
    return Upload(document["upload"]) if "upload" in document else Address(document["address"])
