"""What fails where users and their keys are kept."""

from __future__ import annotations

from polytope_server.runtime.unavailable import UnavailableError


class AuthenticationUnavailableError(UnavailableError):
    """What knows the credentials cannot be reached: they are neither right nor wrong (503).

    The message is shown to the caller: it names no address, path or secret.
    """

    role = "authentication"
