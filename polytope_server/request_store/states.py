"""The states of requests, as every back-end reads and sets them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from polytope_server.request import TERMINAL, Status
from polytope_server.request_store.errors import UnknownStateError


class States(dict[str, Status]):
    """The states of requests by their names, as a store reads them.

    A state that this version does not know makes the request unavailable here: a later version has stored it,
    and may serve it.
    """

    def __init__(self) -> None:
        super().__init__({str(status): status for status in Status})

    def __missing__(self, name: str) -> Status:
        raise UnknownStateError(
            f"a request is in the state {name!r}, of a later version of this server: upgrade this process"
        )


def without_secrets(to: Status, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The fields to set in a step to state `to`: a request that has ended keeps no secret of its user."""
    return {**changes, "sealed": ""} if to in TERMINAL else dict(changes)
