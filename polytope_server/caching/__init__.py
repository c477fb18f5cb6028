"""Caching: values that are costly to get and may be lost at any time."""

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
        """Connect. A server that cannot be reached is no error: the cache is empty then."""

    @abstractmethod
    async def close(self) -> None:
        """Let go of all resources."""

    async def check(self) -> None:
        """Make sure that the server of this cache answers; some caches have none.

        Raises:
            Exception: It does not answer. This is the only method that raises.
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
            key: Any text.
            value: The value, which replaces an earlier one.
            seconds: For how long at most; it may be lost before.
        """

    @abstractmethod
    async def delete(self, key: str) -> None:
        """Remove a value; it need not be there.

        Args:
            key: Any text.
        """

    @abstractmethod
    async def add(self, key: str, amount: int, seconds: float) -> int | None:
        """Add to a whole number, in one atomic step for all processes.

        Args:
            key: Any text; :meth:`get` reads the number.
            amount: What to add; a negative amount takes back what was added before.
            seconds: For how long a number is kept that this call begins. Where there is none, or no number,
                it begins at 0.

        Returns:
            The sum; None if the cache cannot count now.
        """

    async def get_or_make(self, key: str, seconds: float, make: Callable[[], Awaitable[JSON]]) -> JSON:
        """Read a value, or make it if there is none.

        Of several callers in this process that miss the same key at the same time, one makes the value and
        the others wait for it (single flight).

        Args:
            key: Any text.
            seconds: For how long a value that was made is kept.
            make: Makes the value. A None that it returns is not kept. Its exceptions reach all callers that
                wait, and are not kept.

        Returns:
            The value that was kept or made.
        """
        # The flight begins before the look: else a caller whose look missed while another caller made the
        # value, and that goes on only afterwards, would make it again.
        flight = self._flights.get(key)
        if flight is None:
            # A task of its own: that one caller goes away must not cancel the others' value.
            flight = asyncio.ensure_future(self._look_or_make(key, seconds, make))
            self._flights[key] = flight
            flight.add_done_callback(lambda _: self._flights.pop(key, None))
        return await asyncio.shield(flight)

    async def _look_or_make(self, key: str, seconds: float, make: Callable[[], Awaitable[JSON]]) -> JSON:
        value = await self.get(key)
        if value is not None:
            return value
        value = await make()
        if value is not None:
            await self.set(key, value, seconds)
        return value
