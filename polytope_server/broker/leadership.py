"""Who leads: a lease in the store, renewed in a thread where nothing can hold it up.

That a broker reads a million requests must not cost it the lead. On the other hand, one whose work stands
still must not lead for ever: a watchdog lets the lease end. Limits depend on neither: the store checks the
lease with each promotion.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress

from polytope_server.request_store import RequestStore, StoreUnavailableError
from polytope_server.runtime.process import opened
from polytope_server.runtime.waiting import wait_at_most

logger = logging.getLogger(__name__)

#: How often a lease is renewed within its time, and how often those who wait look whether it has ended.
_RENEWALS, _LOOKS = 3, 6
#: How long a broker leads without progress: in leases, and in seconds at least. Its longest call is shorter.
_PATIENCE, _LEAST_PATIENCE = 5, 15.0
#: Seconds for the thread to give the lead back and to end.
_CLOSING_TIME = 10.0


class Leadership:
    """The lead, as far as one broker has it. Its methods are for the event loop that calls :meth:`start`.

    `make_store` is called in the thread, since a store belongs to one event loop. `clock` gives seconds that
    only grow.
    """

    def __init__(
        self,
        make_store: Callable[[], RequestStore],
        holder: str,
        lease: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._make_store = make_store
        self._holder = holder
        self._lease = lease
        self._clock = clock
        self._patience = max(_PATIENCE * lease, _LEAST_PATIENCE)
        self._progress = self._clock()
        self._led: tuple[int, float] | None = None
        #: Whether the last answer of the store was that this broker leads.
        self._led_last = False
        self._keeps_lease = False
        self._ended: Future[None] = Future()
        self._thread = threading.Thread(target=self._run_thread, name="leadership", daemon=True)
        self._stopping = threading.Event()
        #: Of the thread, once it runs.
        self._wake: Callable[[], object] = lambda: None

    @property
    def term(self) -> int | None:
        """The term in which this broker leads, None while it does not, or once its lease has ended."""
        led = self._led
        return led[0] if led is not None and self._clock() < led[1] else None

    def progress(self) -> None:
        """The work goes on: keeps the watchdog quiet."""
        self._progress = self._clock()

    def start(self, changed: Callable[[], None], answered: Callable[[float], None]) -> None:
        """Begin to take the lead when it is free.

        `changed` is called in this event loop when :attr:`term` may have changed; so is `answered`, with the
        seconds of each call of the store, infinity if that failed.
        """
        self._changed, self._answered = changed, answered
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    async def ended(self) -> None:
        """Return, or raise its error, when the thread has ended, which it does not before :meth:`stop`."""
        await asyncio.shield(asyncio.wrap_future(self._ended))

    async def stop(self, resign: bool) -> None:
        """End the thread. With `resign` the lead is given back; else others wait for the end of the lease."""
        self._keeps_lease = not resign
        self._stopping.set()
        with suppress(RuntimeError):  # its event loop is closed: it has ended by itself
            self._wake()
        await asyncio.to_thread(self._thread.join, _CLOSING_TIME)

    # -- the thread ------------------------------------------------------------------------------------

    def _run_thread(self) -> None:
        try:
            asyncio.run(self._keep_lead())
        except BaseException as error:
            self._ended.set_exception(error)
        else:
            self._ended.set_result(None)

    async def _keep_lead(self) -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        self._wake = lambda: loop.call_soon_threadsafe(stop.set)
        if self._stopping.is_set():
            return
        store = self._make_store()
        async with opened((store,), stop) as ready:
            while ready and not stop.is_set():
                asked = self._clock()
                answered = await self._renew_lead(store)
                took = self._clock() - asked if answered else math.inf
                await wait_at_most(pause(self._lease, took, self._led_last), stop)
            if self._led is not None and not self._keeps_lease:
                await self._resign_lead(store)

    async def _renew_lead(self, store: RequestStore) -> bool:
        """Take or renew the lead, unless the work stands still. Whether the store did not fail."""
        asked = self._clock()
        try:
            if asked - self._progress < self._patience:
                term = await store.lead("broker", self._holder, self._lease)
                self._loop.call_soon_threadsafe(self._answered, self._clock() - asked)
                self._led_last = term is not None
                self._set_lead(None if term is None else (term, asked + self._lease))
                return True
            if self._led is not None:
                logger.error("this broker makes no progress: its lead is not renewed")
        except (StoreUnavailableError, OSError) as error:
            logger.warning("cannot renew the lead: %s", error)
            self._loop.call_soon_threadsafe(self._answered, math.inf)
            return False
        finally:
            if self.term is None:
                self._set_lead(None)
        return True

    def _set_lead(self, led: tuple[int, float] | None) -> None:
        before, self._led = self._led, led
        if (before and before[0]) != (led and led[0]):
            self._loop.call_soon_threadsafe(self._changed)

    async def _resign_lead(self, store: RequestStore) -> None:
        self._led = None
        try:
            await store.resign("broker", self._holder)
        except (StoreUnavailableError, OSError) as error:
            logger.warning("cannot give the lead back, its lease ends by itself: %s", error)


def pause(lease: float, took: float, leads: bool) -> float:
    """Seconds until a broker asks for the lead again.

    Args:
        lease: Seconds of the lease.
        took: Seconds that the store took to answer, infinity if it failed.
        leads: Whether the last answer was that this broker leads.
    """
    renewal = lease / _RENEWALS
    if leads:
        return max(0.0, renewal - took) if took < math.inf else renewal
    # A store that is slow or away has kept the leader from renewing, too: it must have the first chance.
    return lease / _LOOKS if took < renewal else lease
