"""What fails where users and their keys are kept."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from polytope_server.runtime.unavailable import UnavailableError

_UNAVAILABLE = "Users and keys cannot be looked up at the moment, please try again later"
logger = logging.getLogger(__name__)


class AuthenticationUnavailableError(UnavailableError):
    """What knows the credentials cannot be reached: they are neither right nor wrong (503).

    The message is shown to the caller: it names no address, path or secret.
    """

    role = "authentication"


@contextmanager
def failing_without_details(kind: type[UnavailableError]) -> Iterator[None]:
    """A context for operations: an error of `kind` is logged, and callers get one that names no server."""
    try:
        yield
    except kind as error:
        # For the log only: the text holds a path or an address.
        logger.error("%s", error)
        raise AuthenticationUnavailableError(_UNAVAILABLE) from error
