"""The connections of a process that serves HTTP: how many, from where, and for how long without progress.

A connection may wait: for its next call, for the end of a request, for an event. It may not make the server
wait: for the head of a call, for the rest of a body, or for its reader to take what was sent.
"""

from __future__ import annotations

import asyncio
import logging
import resource
from collections import Counter
from collections.abc import Callable, Container
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from polytope_server.settings.connections import ConnectionsSettings
from polytope_server.settings.networks import network_of

logger = logging.getLogger(__name__)

#: The most connections of a process by default: memory and one processor allow no more in practice.
_MOST = 16_384
#: File descriptors that are kept for stores, files and sockets of others; at most half of all.
_KEPT_DESCRIPTORS = 1024
#: One address gets this part of the connections, unless configured.
_SHARE = 4
#: Seconds between two looks at the connections, unless times are so short that it must be less.
_LOOK = 1.0
#: Seconds between two lines in the log about connections that were cut.
_LOG_INTERVAL = 10.0

#: The client that an address stands for: itself, or its network of version 6.
network = lru_cache(maxsize=4096)(network_of)

#: Why a connection is cut, as the metric names it, and as the log does.
REASONS = {
    "process": "there are as many as the process takes",
    "address": "there are as many from one address as it may have",
    "head": "the head of a call did not come in time",
    "receiving": "a body came too slowly",
    "sending": "an answer was taken too slowly",
}


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Bounds of the connections of one process. Times are in seconds, the rate in bytes a second."""

    total: int
    per_address: int
    head_time: float = 20.0
    least_rate: float = 1000.0
    rate_time: float = 60.0


def connection_limits(
    settings: ConnectionsSettings | None = None, descriptors: int | None = None
) -> ConnectionLimits:
    """The limits that the settings stand for, in a process that may open a number of file descriptors.

    By default the settings are the default ones, and the descriptors those that the system allows now.
    """
    settings = settings or ConnectionsSettings.model_validate({})
    if descriptors is None:
        descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if descriptors == resource.RLIM_INFINITY:
            descriptors = 1 << 20
    room = max(descriptors - _KEPT_DESCRIPTORS, descriptors // 2, 1)
    if settings.total is not None and settings.total > room:
        logger.warning(
            "connections.total is %d: the %d file descriptors of this process allow %d",
            *(settings.total, descriptors, room),
        )
    total = min(settings.total or _MOST, room)
    per_address = min(settings.per_address or max(1, total // _SHARE), total)
    return ConnectionLimits(
        total, per_address, settings.head_time, float(settings.least_rate), settings.rate_time
    )


class Connection(Protocol):
    """One connection, as far as its bounds go."""

    def fault(self, now: float) -> str:
        """For which of :data:`REASONS` it is to end; empty if it may go on. `now` is in seconds."""

    def cut(self) -> None:
        """End it at once, whatever is still to be sent."""


class Connections:
    """All connections of a process."""

    def __init__(self, limits: ConnectionLimits, proxies: Container[str] = ()) -> None:
        """`proxies` are the addresses of peers whose connections are those of many clients."""
        self.limits = limits
        self._proxies = proxies
        self._open: dict[Connection, str] = {}
        self._of_network: Counter[str] = Counter()
        self._unlogged: Counter[str] = Counter()
        self._logged_at = float("-inf")
        self._looking: asyncio.TimerHandle | None = None
        #: Called with the reason of each connection that is cut.
        self.on_cut: Callable[[str], None] = lambda reason: None

    def __len__(self) -> int:
        return len(self._open)

    def admit(self, connection: Connection, address: str) -> bool:
        """Count a new connection from that address; False, and not counted, if there are too many."""
        owner = "" if address in self._proxies else network(address)
        if len(self._open) >= self.limits.total:
            self._count_cut("process")
            return False
        if owner and self._of_network[owner] >= self.limits.per_address:
            self._count_cut("address")
            return False
        self._open[connection] = owner
        self._of_network[owner] += 1
        return True

    def leave(self, connection: Connection) -> None:
        """A connection that was admitted has ended."""
        owner = self._open.pop(connection)
        self._of_network[owner] -= 1
        if not self._of_network[owner]:
            del self._of_network[owner]

    def look_on(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look at the connections from now on, again and again, if that is not done yet."""
        if self._looking is None:
            self._schedule_look(loop)

    def _schedule_look(self, loop: asyncio.AbstractEventLoop) -> None:
        pause = min(_LOOK, self.limits.head_time / 4, self.limits.rate_time / 4)
        self._looking = loop.call_later(pause, self._look_and_go_on, loop)

    def _look_and_go_on(self, loop: asyncio.AbstractEventLoop) -> None:
        self._schedule_look(loop)
        self.look(loop.time())

    def look(self, now: float) -> None:
        """End the connections that make the server wait for too long, and tell of all that were cut."""
        for connection in list(self._open):
            if reason := connection.fault(now):
                self._count_cut(reason)
                connection.cut()
        self._log_cuts(now)

    def _count_cut(self, reason: str) -> None:
        self._unlogged[reason] += 1
        self.on_cut(reason)

    def _log_cuts(self, now: float) -> None:
        if self._unlogged and now - self._logged_at >= _LOG_INTERVAL:
            cuts = "; ".join(f"{count} because {REASONS[reason]}" for reason, count in self._unlogged.items())
            logger.warning("connections were cut: %s; %d are open", cuts, len(self._open))
            self._unlogged.clear()
            self._logged_at = now


class Pace:
    """Whether bytes go on at the least rate. Only time counts in which the other side was to act."""

    __slots__ = ("_count", "_limits", "_since")

    def __init__(self, limits: ConnectionLimits) -> None:
        self._limits = limits
        self._since: float | None = None
        self._count = 0

    def is_too_slow(self, now: float, waiting: bool, count: Callable[[], int]) -> bool:
        """To be asked again and again. `waiting`: for the other side; `count` gives the bytes so far."""
        if not waiting:
            self._since = None
            return False
        if self._since is None:
            self._since, self._count = now, count()
            return False
        seconds = now - self._since
        if seconds < self._limits.rate_time:
            return False
        before, self._since, self._count = self._count, now, count()
        return self._count - before < self._limits.least_rate * seconds
