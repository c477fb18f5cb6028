"""From the body of a POST to a request: everything that can be decided is decided here (invariant 8)."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import falcon

from polytope_server.collection import Collection
from polytope_server.datasource.inputs import refusal
from polytope_server.frontend.background import BusyError
from polytope_server.frontend.calls import decoded, shown
from polytope_server.frontend.limits import refuse_for_now
from polytope_server.frontend.services import Services, Source
from polytope_server.http.shell import refuse
from polytope_server.language import (
    MAX_VALUES,
    Judgement,
    RequestError,
    TooManyValuesError,
    coerce,
    parse,
)
from polytope_server.request import Address, Request, Status, Verb
from polytope_server.texts import encodable
from polytope_server.user import User

#: Bytes of a body that is read in the event loop, and values of its request that are compared there with the
#: rules of data sources: some milliseconds each. A body of 64 KiB, or all values, may take 0.1 s and more.
_SMALL, _FEW = 2 << 10, 1000
_LONGEST_URL = 4096
_NO_SEALS = (
    "This collection needs a key of yours, and this server is not set up to keep such keys safe. "
    "Please tell its operator: the configuration gives no secrets.keys."
)


async def read_request(
    services: Services, req: falcon.asgi.Request, collection: Collection, user: User, body: bytes
) -> Request:
    """As :func:`make_request`, of the body as it was sent. Ends the call if too many costly ones wait."""

    def read(comparisons: int = MAX_VALUES) -> Request:
        return make_request(services, collection, user, decoded(body), comparisons)

    if len(body) <= _SMALL:
        with suppress(TooManyValuesError):
            return read(_FEW)
    try:
        return await services.background.run(user.id, read, max(len(body), _SMALL))
    except BusyError:
        refuse_for_now(req, "Too many large requests are being read", 1)


def make_request(
    services: Services, collection: Collection, user: User, body: Any, comparisons: int = MAX_VALUES
) -> Request:
    """The request that the body of a submission describes. Ends the call with the reason if it is bad.

    TooManyValuesError if it takes more than `comparisons`, and these are not all that any request may take.
    """
    if not isinstance(body, dict) or "verb" not in body:
        refuse(falcon.HTTP_400, "HTTP request content is missing 'verb' (e.g. retrieve)")
    if "request" not in body:
        refuse(falcon.HTTP_400, "HTTP request content is missing 'request'")
    verb = _verb(body["verb"])
    sources = _able(services.sources[collection.name], verb)
    address = _input_address(services, verb, body.get("url"))
    text = _text(body["request"], collection)
    source, coerced = _match(services, sources, user, text, comparisons)
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
        timestamp=services.store.local_clock.now(),
    )
    request.sealed = _sealed(services, source, request)
    return request


def _sealed(services: Services, source: Source, request: Request) -> str:
    """What the data source needs of the user's attributes, for this request alone. May end the call."""
    attributes = request.user.attributes
    needed = {name: attributes[name] for name in source.attributes if name in attributes}
    if needed and services.seals is None:
        refuse(falcon.HTTP_501, _NO_SEALS)
    return services.seals.seal(needed, request.id) if services.seals is not None else ""


def _verb(value: Any) -> Verb:
    try:
        return Verb(value)
    except ValueError:
        refuse(falcon.HTTP_400, f"Transfer type {shown(str(value))} not supported")


def _able(sources: list[Source], verb: Verb) -> list[Source]:
    """The data sources that can do what the verb says."""
    able = [source for source in sources if source.archives] if verb is Verb.ARCHIVE else sources
    if not able:
        refuse(falcon.HTTP_400, f"Transfer type {verb} not supported")
    return able


def _input_address(services: Services, verb: Verb, url: Any) -> Address | None:
    if verb is not Verb.ARCHIVE or url in (None, ""):
        return None
    if not isinstance(url, str):
        refuse(falcon.HTTP_400, "The value of 'url' is not a string")
    # Not printable: control characters, which parsers of addresses leave out, and surrogates.
    if len(url) > _LONGEST_URL or " " in url or not url.isprintable():
        refuse(
            falcon.HTTP_400,
            f"The value of 'url' is not an address of at most {_LONGEST_URL} characters, without spaces",
        )
    if reason := refusal(url, services.input_hosts):
        refuse(falcon.HTTP_400, encodable(reason))
    return Address(url)


def _text(value: Any, collection: Collection) -> str:
    """The request as text: a string as it was sent, anything else as JSON. Ends the call if too large."""
    text = value if isinstance(value, str) else json.dumps(value)
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        refuse(falcon.HTTP_400, "The request holds characters that are not valid Unicode")
    if size > collection.max_request:
        refuse(
            falcon.HTTP_413,
            f"The request has {size} bytes; requests to {collection.name} may have at most "
            f"{collection.max_request}. Split it into several",
        )
    return text


def _match(
    services: Services, sources: list[Source], user: User, text: str, comparisons: int
) -> tuple[Source, dict[str, Any]]:
    """The first data source that takes the request, and the request as that source gets it."""
    reasons: dict[str, list[str]] = {}
    try:
        judgement = Judgement(
            coerce(parse(text), services.coercion),
            realm=user.realm,
            user_roles=user.roles,
            coercion=services.coercion,
            comparisons=comparisons,
        )
        for source in sources:
            result = judgement.match(source.rules)
            if result.request is not None:
                return source, result.request
            reasons.setdefault(result.reason, []).append(source.config.label)
    except RequestError as error:
        if isinstance(error, TooManyValuesError) and comparisons < MAX_VALUES:
            raise
        refuse(falcon.HTTP_400, encodable(str(error)))
    # Of data sources with one reason it is told once.
    lines = "\n".join(f"Skipping datasource {', '.join(names)}: {why}" for why, names in reasons.items())
    refuse(falcon.HTTP_400, encodable(f"No matching datasource found for request:\n{lines}"))
