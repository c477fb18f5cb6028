"""Caching: values that are expensive to get and may be lost at any time."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable

#: What a cache holds: JSON values, so that no back-end has to unpickle anything.
JSON = None | bool | int | float | str | list["JSON"] | dict[str, "JSON"]


class Cache(ABC):
    """Keeps JSON values under string keys for a limited time. A cache that is down is empty.

    Nothing raises an exception but :meth:`check`.
    """

    def __init__(self) -> None:
        self._flights: dict[str, asyncio.Future[JSON]] = {}

    @abstractmethod
    async def open(self) -> None:
        """Connect."""

    @abstractmethod
    async def close(self) -> None:
        """Release all resources."""

    async def check(self) -> None:
        """Return if the server of this cache answers, or if there is none.

        Raises:
            Exception: What the driver raises, if the server does not answer.
        """
        return

    @abstractmethod
    async def get(self, key: str) -> JSON:
        """Read a value.

        Args:
            key: Any text.

        Returns:
            The value; None if there is none, or its time is over.
        """

    @abstractmethod
    async def set(self, key: str, value: JSON, seconds: float) -> None:
        """Keep a value.

        Args:
            key: Its name; the value that it had is replaced.
            value: What :meth:`get` returns from now on.
            seconds: How long it is kept at most.
        """

    @abstractmethod
    async def delete(self, key: str) -> None:
        """Remove a value, which need not be there.

        Args:
            key: Any text.
        """

    @abstractmethod
    async def add(self, key: str, amount: int, seconds: float) -> int | None:
        """Add to a whole number, atomically for all processes. :meth:`get` reads it.

        Args:
            key: Its name. A number that is not there, or no number, begins at 0.
            amount: What is added; a negative one gives back what was added before.
            seconds: How long a number that begins now is kept.

        Returns:
            The sum; None if it cannot be counted now.
        """

    async def get_or_make(
        self, key: str, seconds: float | Callable[[JSON], float], make: Callable[[], Awaitable[JSON]]
    ) -> JSON:
        """The value of the key, made by `make` if there is none.

        Of several callers in this process that miss the same key at the same time, one makes the value
        and the others wait for it (single flight).

        Args:
            key: The name of the value.
            seconds: How long a value that is made is kept, or a function of the value that says that; 0: it
                is given to those who wait for it only.
            make: Makes the value. A None that it returns is not kept.

        Returns:
            The value that was kept, or was made.

        Raises:
            Exception: What `make` raises reaches all callers that wait, and is not kept.
        """
        # The flight begins with the look: else a caller that looked in vain while another made the value, and
        # hears of that only when it is done, would make it again.
        flight = self._flights.get(key)
        if flight is None:
            # A task of its own: that one caller goes away must not cancel the others' value.
            flight = asyncio.ensure_future(self._look_or_make(key, seconds, make))
            self._flights[key] = flight
            flight.add_done_callback(lambda _: self._flights.pop(key, None))
        return await asyncio.shield(flight)

    async def _look_or_make(
        self, key: str, seconds: float | Callable[[JSON], float], make: Callable[[], Awaitable[JSON]]
    ) -> JSON:
        value = await self.get(key)
        if value is not None:
            return value
        value = await make()
        if value is not None:
            lifetime = seconds(value) if callable(seconds) else seconds
            if lifetime > 0:
                await self.set(key, value, lifetime)
        return value
