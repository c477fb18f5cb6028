"""The error of back-ends that are unreachable: the caller may try again."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

_observers: list[Callable[[str], None]] = []


class UnavailableError(RuntimeError):
    """A back-end cannot be reached, or is full, at the moment. The text names it, and is for the log."""

    #: The concern of the back-end, such as `request_store`; empty where another error follows that has one.
    role: ClassVar[str] = ""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)
        if self.role:
            failed(self.role)


def observe(observer: Callable[[str], None]) -> None:
    """Have `observer` called with the role of a back-end each time that it could not be used."""
    _observers.append(observer)


def failed(role: str) -> None:
    """A back-end of that role could not be used; for those that raise nothing, such as caches."""
    for observer in _observers:
        observer(role)
