"""Where a submission comes from, as its client says: it may be sent again, and for a request elsewhere."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass

from polytope_server.collection import Collection
from polytope_server.frontend.refusals import Kind, RefusedError
from polytope_server.request_store import RequestStore
from polytope_server.staging.names import is_request_id
from polytope_server.user import User

#: A request that as many servers have passed on is refused.
MOST_SERVERS = 5
_LONGEST_KEY = 200


@dataclass(frozen=True, slots=True)
class Origin:
    """What a client says about its submission.

    With a `key` the same submission, sent again, is the same request. `via` are the ids of the requests at
    other servers for which this one is made, the first one first.
    """

    key: str = ""
    via: tuple[str, ...] = ()

    def request_id(self, user: User, collection: Collection, body: bytes) -> str | None:
        """The id of the request, the same for the same submission; None without a key.

        Who knows it can do nothing with it: a request is there for its owner only.
        """
        if not self.key:
            return None
        content = hashlib.sha256(body).hexdigest()
        return str(uuid.uuid5(uuid.UUID(user.id), f"{collection.name}\n{self.key}\n{content}"))

    async def check_circle(self, user: User, store: RequestStore) -> None:
        """Raises RefusedError if the request has come from this server, or from too many others."""
        if len(self.via) >= MOST_SERVERS:
            raise RefusedError(
                Kind.INVALID,
                f"The request was passed on by {len(self.via)} servers; fewer than {MOST_SERVERS} may",
            )
        for request_id in self.via:
            found = await store.get(request_id)
            if found is not None and found.user.id == user.id:
                raise RefusedError(
                    Kind.INVALID,
                    f"The request has come back to a server that had passed it on (as {request_id}): the "
                    "servers ask each other in a circle. Please tell their operators",
                )


def read_origin(key: str | None, via: str | None) -> Origin:
    """The origin of the headers `Idempotency-Key` and `Polytope-Via`. Raises RefusedError."""
    key, ids = (key or "").strip(), [part.strip() for part in (via or "").split(",") if part.strip()]
    if len(key) > _LONGEST_KEY or not key.isprintable():
        raise RefusedError(
            Kind.INVALID, f"The header Idempotency-Key is not a text of up to {_LONGEST_KEY} characters"
        )
    if len(ids) > MOST_SERVERS or not all(map(is_request_id, ids)):
        raise RefusedError(
            Kind.INVALID, f"The header Polytope-Via holds up to {MOST_SERVERS} ids of requests, with commas"
        )
    return Origin(key, tuple(ids))
