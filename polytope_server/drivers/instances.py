"""Objects such as connections, which are shared by what works in one event loop, and by nothing else."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Instances(threading.local, Generic[T]):
    """One object for each key in each thread, which has one event loop at a time."""

    def __init__(self) -> None:
        self._made: dict[Hashable, T] = {}

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The object of that key in this thread, made by `make` where there is none."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]
