"""Where users get help, told with the errors that they cannot help themselves with."""

from __future__ import annotations

import falcon

from polytope_server.request import Request
from polytope_server.settings.root import SupportSettings


class FailedRequestError(falcon.HTTPError):
    """400: a request failed; the answer to its poll."""

    def __init__(self, request: Request) -> None:
        super().__init__(falcon.HTTP_400, description=f"Request failed with error:\n{request.user_message}")
        self.request_id = request.id


class Support:
    """Adds the contact of the site to messages."""

    def __init__(self, settings: SupportSettings) -> None:
        self._settings = settings

    def extended(self, message: str, status: int, realm: str | None, failed: str = "") -> str:
        """The message of an error, with the contact for users of that realm (None: unknown) if it needs one.

        `failed` is the id of the request that failed, if it is about one. A message that has the contact
        already, as that of another server may, stays as it is.
        """
        contact = self._settings.realms.get(realm or "", self._settings.default_url)
        needed = failed or status in (401, 403, 429) or status >= 500
        if not contact or not needed or contact in message:
            return message
        quote = f" (the request is {failed})" if failed else ""
        return f"{message}\nFor help: {contact}{quote}"
