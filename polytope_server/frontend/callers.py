"""Who calls, and what that caller may do besides submitting requests."""

from __future__ import annotations

from collections.abc import Mapping

from polytope_server.authentication import AuthenticationUnavailableError
from polytope_server.authentication.manager import Authentication, Identification
from polytope_server.frontend.limits import AdmissionLimits, CallRate
from polytope_server.frontend.refusals import Kind, RefusedError
from polytope_server.roles import has_role


class Callers:
    """Verifies callers, counts their calls, and knows who manages users and keys."""

    def __init__(
        self,
        authentication: Authentication,
        limits: AdmissionLimits,
        admin_roles: Mapping[str, list[str]],
    ) -> None:
        self._authentication = authentication
        self._limits = limits
        self._admin_roles = admin_roles

    async def identify(self, credentials: str | None, address: str, *, fresh: bool = False) -> Identification:
        """Who calls from that address, by the value of the header Authorization.

        With `fresh`, credentials that the process remembers are verified again.
        Raises UnauthenticatedError if the credentials are missing or wrong, and RefusedError if they
        cannot be verified now.
        """
        try:
            return await self._authentication.authenticate(credentials, address, fresh=fresh)
        except AuthenticationUnavailableError as error:
            raise RefusedError(Kind.UNAVAILABLE, str(error)) from None

    async def admit(self, caller: Identification) -> CallRate | None:
        """Count a call; how many are left. Raises TooManyCallsError if it is one too many."""
        return await self._limits.admit_call(caller.user)

    def require_user(self, caller: Identification) -> None:
        """Raise RefusedError if another server calls for its user.

        What it made here would outlive its secret, and be more than it was given.
        """
        if caller.by_peer:
            raise RefusedError(
                Kind.FORBIDDEN, "A server that acts for its users manages neither users nor keys."
            )

    def require_administrator(self, caller: Identification) -> None:
        """Raise RefusedError unless the caller may manage users."""
        if not has_role(self._admin_roles, caller.user.realm, caller.user.roles):
            raise RefusedError(Kind.FORBIDDEN, "Not authorized to access this resource.")
