"""Where users get help: added to errors that they cannot mend themselves."""

from __future__ import annotations

from polytope_server.settings.frontend import SupportSettings


class Support:
    """Adds the contact of the site to messages."""

    def __init__(self, settings: SupportSettings) -> None:
        self._settings = settings

    def extended(self, message: str, realm: str | None, failed: str = "") -> str:
        """A message with the contact for users of that realm (None: unknown).

        `failed` is the id of the request that failed, if it is about one. A message that has the contact
        already, as that of another server may, stays as it is.
        """
        contact = self._settings.realms.get(realm or "", self._settings.default_url)
        if not contact or contact in message:
            return message
        quote = f" (the request is {failed})" if failed else ""
        return f"{message}\nFor help: {contact}{quote}"
