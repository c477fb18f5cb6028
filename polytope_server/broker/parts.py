"""What a broker is given."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from polytope_server.broker.leadership import Leadership
from polytope_server.notices import Notices
from polytope_server.queue import Queue
from polytope_server.request_store import RequestStore


@dataclass(frozen=True)
class Parts:
    """What a broker works with; back-ends are not opened yet."""

    #: Of this process alone: the store knows the leader by it.
    name: str
    store: RequestStore
    queue: Queue
    notices: Notices
    leadership: Leadership
    #: Seconds that only grow.
    clock: Callable[[], float] = time.monotonic
