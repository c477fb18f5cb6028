"""From what a user submits to a request. All that can be decided before it is stored is decided here."""

from __future__ import annotations

import json
from collections.abc import Collection as Many
from dataclasses import dataclass
from typing import Any

from polytope_server.collection import Collection
from polytope_server.datasource.inputs import refusal
from polytope_server.frontend.refusals import Kind, RefusedError, refuse_draft, shown
from polytope_server.frontend.source_selection import Source, SourceSelection
from polytope_server.language import MAX_VALUES
from polytope_server.request import Address, Request, Status, Verb
from polytope_server.request_store import RequestStore
from polytope_server.secrets.sealing import Seals
from polytope_server.texts import encodable
from polytope_server.user import User

_LONGEST_URL = 4096
_NO_SEALS = (
    "This collection needs a key of yours, and this server is not set up to keep such keys safe. "
    "Please tell its operator: the configuration gives no secrets.keys."
)


@dataclass(frozen=True, slots=True)
class Draft:
    """A submission as its user wrote it: values of any type, not checked yet.

    `request_id` is the id that the request is to have, None for a new one; `via` are ids of requests at other
    servers (:mod:`polytope_server.frontend.origin`).
    """

    verb: Any
    request: Any
    url: Any = None
    request_id: str | None = None
    via: tuple[str, ...] = ()


class Validation:
    """Makes requests of drafts, or says what is wrong with them."""

    def __init__(
        self,
        selection: SourceSelection,
        input_hosts: Many[str],
        seals: Seals | None,
        store: RequestStore,
    ) -> None:
        """`store` has the clock for submissions.

        `seals` is None where a worker could not open what is sealed here.
        """
        self._selection = selection
        self._input_hosts = input_hosts
        self._seals = seals
        self._store = store

    def request_of(
        self, user: User, collection: Collection, draft: Draft, comparisons: int = MAX_VALUES
    ) -> Request:
        """The request that a draft describes.

        Raises RefusedError with the reason if it is bad, and TooManyValuesError if it takes more than
        `comparisons`, and these are not all that any request may take.
        """
        verb = _read_verb(draft.verb)
        sources = self._selection.able_to(verb, collection)
        address = self._read_address(verb, draft.url)
        text = _read_text(draft.request, collection)
        source, coerced = self._selection.select(sources, user, text, verb, comparisons)
        source.check_request(coerced, verb)
        status = Status.UPLOADING if verb is Verb.ARCHIVE and address is None else Status.WAITING
        request = Request(
            user=user,
            collection=collection.name,
            verb=verb,
            user_request=text,
            coerced_request=coerced,
            datasource=source.config.name,
            input=address,
            status=status,
            timestamp=self._store.local_clock.now(),
            via=draft.via,
        )
        if draft.request_id is not None:
            request.id = draft.request_id
        request.sealed = self._seal_attributes(source, request)
        return request

    def _seal_attributes(self, source: Source, request: Request) -> str:
        """What the data source needs of the user's attributes, for this request alone."""
        attributes = request.user.attributes
        needed = {name: attributes[name] for name in source.attributes if name in attributes}
        if needed and self._seals is None:
            raise RefusedError(Kind.UNSUPPORTED, _NO_SEALS)
        return self._seals.seal(needed, request.id) if self._seals is not None else ""

    def _read_address(self, verb: Verb, url: Any) -> Address | None:
        if verb is not Verb.ARCHIVE or url in (None, ""):
            return None
        if not isinstance(url, str):
            refuse_draft("The value of 'url' is not a string")
        # Not printable: control characters, which parsers of addresses leave out, and surrogates.
        if len(url) > _LONGEST_URL or " " in url or not url.isprintable():
            refuse_draft(
                f"The value of 'url' is not an address of at most {_LONGEST_URL} characters, without spaces"
            )
        if reason := refusal(url, self._input_hosts):
            refuse_draft(encodable(reason))
        return Address(url)


def _read_verb(value: Any) -> Verb:
    try:
        return Verb(value)
    except ValueError:
        refuse_draft(f"Transfer type {shown(str(value))} not supported")


def _read_text(value: Any, collection: Collection) -> str:
    """The request as text: a string as it was sent, anything else as JSON."""
    text = value if isinstance(value, str) else json.dumps(value)
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        refuse_draft("The request holds characters that are not valid Unicode")
    if size > collection.max_request:
        raise RefusedError(
            Kind.TOO_LARGE,
            f"The request has {size} bytes; requests to {collection.name} may have at most "
            f"{collection.max_request}. Split it into several",
        )
    return text
