"""What Keycloak and servers like it have in common: where a realm is, and how it refuses a client."""

from __future__ import annotations

import logging
import re
from urllib.parse import quote

from polytope_server.authentication import AuthenticationUnavailableError
from polytope_server.authentication.outgoing import Answer, OutgoingService

#: What a provider says when it is a client of the configuration that it refuses, and not the user.
_CLIENT_ERRORS = frozenset({"invalid_client", "unauthorized_client"})

#: Anything else in its place is not logged: it may repeat what was sent.
_ERROR_CODE = re.compile(r"[a-z_]{1,40}")


def endpoints(base: str, realm: str) -> str:
    """The address below which a realm has `token`, `userinfo` and so on."""
    return f"{base}/realms/{quote(realm, safe='')}/protocol/openid-connect"


def refuses_client(answer: Answer) -> bool:
    """Whether the answer blames the client that stands for this server."""
    return answer.text("error") in _CLIENT_ERRORS


def error_code(answer: Answer) -> str:
    """What the answer says is wrong, for a log."""
    code = answer.text("error")
    return code if code and _ERROR_CODE.fullmatch(code) else "no error code"


def client_refused(
    service: OutgoingService, url: str, answer: Answer, check: str
) -> AuthenticationUnavailableError:
    """The error that says so; `check` is what the operator should look at, for the log."""
    reason = f"it refuses the client of the configuration ({error_code(answer)}): check {check}"
    return service.unavailable(url, reason, logging.ERROR)
