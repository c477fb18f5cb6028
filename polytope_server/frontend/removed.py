"""What owners are told of requests that the garbage collector has removed."""

from __future__ import annotations

from datetime import UTC, datetime

import falcon

from polytope_server.authentication.manager import Identification
from polytope_server.frontend.calls import shown
from polytope_server.frontend.services import Services
from polytope_server.http.shell import refuse
from polytope_server.request_store.retention import Reason
from polytope_server.staging.names import is_request_id

_REASONS = {
    Reason.AGE: "and its result were removed on {when}: results are kept for a limited time",
    Reason.SPACE: "and its result were removed on {when}: the space was needed",
    Reason.NO_UPLOAD: "was removed on {when}: its data were not uploaded in time",
}
#: Of what a later version knows.
_NO_REASON = "was removed on {when}"


async def refuse_removed(services: Services, caller: Identification, request_id: str) -> None:
    """End the call with 410 if the request was the caller's, and the garbage collector has removed it.

    To be called wherever a request is not found: everybody else then waits as long for the 404, whether there
    is such a request, was one, or neither.
    """
    if not is_request_id(request_id):
        return
    found = await services.store.tombstone(request_id, caller.user.id)
    if found is not None:
        when = datetime.fromtimestamp(found.removed_at, UTC).strftime("%Y-%m-%d at %H:%M UTC")
        what = next((text for reason, text in _REASONS.items() if reason == found.reason), _NO_REASON)
        refuse(
            falcon.HTTP_410,
            f"Request {shown(request_id)} {what.format(when=when)}. If you still need it, submit it again.",
        )
