"""How an authentication ends: with the caller, or with a refusal."""

from __future__ import annotations

from dataclasses import dataclass

from polytope_server.authentication.federation import Federation
from polytope_server.user import User


@dataclass(frozen=True, slots=True)
class Identification:
    """Who calls, and by which scheme (empty for a call without credentials)."""

    user: User
    scheme: str

    @property
    def by_peer(self) -> bool:
        """Whether another server acts for the user (`federation`)."""
        return self.scheme.lower() == Federation.scheme.lower()


class UnauthenticatedError(Exception):
    """The credentials are missing or wrong; with the values of WWW-Authenticate.

    `retry_after` is None, or the seconds for which no more guesses should be made: there were too many.
    """

    def __init__(self, message: str, challenges: list[str], retry_after: int | None = None) -> None:
        super().__init__(message)
        self.challenges = challenges
        self.retry_after = retry_after

    def copy(self) -> UnauthenticatedError:
        """An equal error without a traceback, which holds the frames, and the credentials, of its call."""
        return UnauthenticatedError(str(self), self.challenges, self.retry_after)
