"""The worker: claims requests, has them done by its child processes, and puts the results into staging."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from polytope_server.collection import queues
from polytope_server.config import Configuration
from polytope_server.datasource import DataSourceError, TemporaryError, factory
from polytope_server.metric_store import MetricStore
from polytope_server.notices import Notice, Notices, Topic
from polytope_server.queue import Delivery, Queue
from polytope_server.request import TERMINAL, Request, Status, Upload
from polytope_server.request_store import RequestStore, StoreUnavailableError
from polytope_server.retry import after_failure, after_outage
from polytope_server.runtime import log
from polytope_server.runtime.management.health import Check, Health
from polytope_server.runtime.process import opened, serve_until
from polytope_server.secrets.deployment_key import DeploymentKeys
from polytope_server.secrets.sealing import REQUESTS, Seals
from polytope_server.settings import create_backend
from polytope_server.staging import StagedObject, Staging, StagingUnavailableError
from polytope_server.worker.attempt import Attempts
from polytope_server.worker.children import Child, Children, child_config
from polytope_server.worker.leases import Claim, Leases
from polytope_server.worker.metrics import WorkerMetrics
from polytope_server.worker.outcome import Outcomes

logger = logging.getLogger(__name__)

#: Seconds after which a claim is told, unless the request has ended; to give a request back it may take 5.
_NEWS, _LAST_WORDS = 0.1, 5.0


class Worker:
    """One worker process: `worker.concurrency` requests at a time, each in a warm child process."""

    def __init__(self, configuration: Configuration, data: Path) -> None:
        settings = configuration.settings
        self._settings = settings.worker
        self._collections = configuration.collections
        self._queues = settings.worker.queues or queues(self._collections.values())
        self._name = f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}"
        self._store: RequestStore = create_backend("request_store", settings.request_store, data)
        self._queue: Queue = create_backend("queue", settings.queue, data)
        self._notices: Notices = create_backend("notices", settings.notices, data)
        self._staging: Staging = create_backend("staging", settings.staging, data)
        self._metric_store: MetricStore = create_backend("metric_store", settings.metric_store, data)
        sources = [source for found in self._collections.values() for source in found.datasources]
        seals: Seals | None = None
        if any(map(factory.user_attributes, sources)):
            seals = Seals(DeploymentKeys(settings.secrets, data), REQUESTS)
        self._attempts = Attempts(settings.worker, self._collections, seals, self._staging)
        self._children = Children(settings.worker.concurrency, child_config(configuration))
        self._running: dict[str, tuple[int, asyncio.Task[None]]] = {}
        #: Of those running, the ones whose outcome is on its way into the store, or there already.
        self._ending: set[Claim] = set()
        self._leases = Leases(
            *(self._store, self._name, settings.worker.lease),
            running=self._claims,
            lost=self._on_lost,
            given_back=lambda request_id: self._notices.publish(Topic.REQUEUED, request_id),
        )
        self._tasks: set[asyncio.Task[Any]] = set()
        #: Whether it takes messages; it lets go of the queue when it is told to stop.
        self._consumes = True
        self.metrics = WorkerMetrics(
            settings.metrics, self._collections, lambda: self._children.slots(len(self._running))
        )
        self.health = Health(
            {
                "request_store": Check(self._store.check),
                "queue": Check(self._check_queue),
                "staging": Check(self._staging.check),
                "metric_store": Check(self._metric_store.check, needed=False),
            }
        )
        self._outcomes = Outcomes(self._store, self._notices, self._metric_store, self.metrics, self._spawn)

    async def serve(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set; then finish, or give back, what is running."""
        parts = (self._store, self._notices, self._staging, self._metric_store)
        async with opened(parts, stop) as ready:
            if not ready:
                return
            await self._notices.subscribe({Topic.REMOVED}, self._on_removed)
            await self._queue.open_consumer(self._queues, self._on_delivery)
            self._children.start(ready=lambda: self._queue.grant(1))
            self.health.started = True
            logger.info("worker %s is ready, for the queues %s", self._name, ", ".join(self._queues))
            # Leases are renewed to the end, for the requests that may still finish.
            await serve_until(self._drain(stop), asyncio.create_task(self._leases.keep()))
            await self._children.close()

    async def _drain(self, stop: asyncio.Event) -> None:
        """When told to stop, let requests end for `worker.grace` seconds, then give them back."""
        await stop.wait()
        self._consumes = False
        await self._queue.close()
        self._children.retire()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._settings.grace)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _check_queue(self) -> None:
        if self._consumes:
            await self._queue.check()

    # -- claims and leases -----------------------------------------------------------------------------

    def _on_delivery(self, delivery: Delivery) -> None:
        self._spawn(self._take(delivery))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _take(self, delivery: Delivery) -> None:
        """Claim a delivered request and work on it. One that is gone or taken is let go of."""
        request_id = delivery.message.request_id
        try:
            request = await self._leases.claim(request_id)
        except StoreUnavailableError:
            delivery.nack()
            self._queue.grant(1)
            return
        # The claim is durable: from now on the lease, not the queue, guards the request.
        delivery.ack()
        # Of two messages about one request, both may come to know of the same claim.
        if request is None or (request_id, request.attempt) in self._claims():
            self._queue.grant(1)
            return
        self._abort(request_id)  # an earlier attempt, of which only the store knows yet that it is lost
        asyncio.get_running_loop().call_later(_NEWS, self._tell_claim, (request_id, request.attempt))
        log.request_id.set(request_id)
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 -- a coroutine runs in a task
        self._running[request_id] = mine = (request.attempt, task)
        try:
            await self._work(request)
        finally:
            # A further attempt may have begun here while this one puts its child away.
            if self._running.get(request_id) == mine:
                del self._running[request_id]
            self._ending.discard((request_id, request.attempt))

    def _claims(self) -> set[Claim]:
        """What this worker works on."""
        return {(request_id, attempt) for request_id, (attempt, _) in self._running.items()}

    def _tell_claim(self, claim: Claim) -> None:
        if claim in self._claims() and claim not in self._ending:
            self._notices.publish(Topic.CLAIMED, claim[0])

    def _on_removed(self, notice: Notice) -> None:
        self._abort(notice.request_id)

    def _on_lost(self, claim: Claim) -> None:
        if claim in self._claims() and claim not in self._ending:
            self.metrics.leases_lost.inc()
            self._abort(claim[0])

    def _abort(self, request_id: str) -> None:
        attempt, task = self._running.get(request_id, (0, None))
        # One that is ending ends by itself: to cancel it again would keep it from putting its child away.
        if task is not None and (request_id, attempt) not in self._ending:
            logger.info("request %s is no longer this worker's; stopping", request_id)
            task.cancel("lost")

    # -- one attempt -----------------------------------------------------------------------------------

    async def _work(self, request: Request) -> None:
        """Try a request once, and record the outcome, if it is still this worker's to record."""
        max_attempts = None
        child: Child | None = None
        try:
            source = self._attempts.source(request)
            max_attempts = source.keys.get("max_attempts")
            async with asyncio.timeout(self._settings.timeout):
                child = await self._children.take()
                result = await self._attempts.make(request, source, child)
            await self._succeed(request, result)
        except DataSourceError as error:
            await self._record(request, Status.FAILED, user_message=str(error), worker="")
        except TimeoutError:
            seconds = f"{self._settings.timeout:g}"
            await self._retry(request, f"It took longer than {seconds} seconds.", max_attempts)
        except TemporaryError as error:
            await self._retry(request, str(error), max_attempts)
        except StagingUnavailableError as error:
            logger.warning("attempt %d: %s", request.attempt, error)
            to, changes = after_outage(request, self._settings, self._store.local_clock.now())
            await self._record(request, to, **changes)
        except asyncio.CancelledError as error:
            if error.args == ("lost",):
                self.metrics.overtaken(request)
            else:
                # A store that cannot be reached must not keep this process: the lease ends by itself.
                with suppress(TimeoutError):
                    async with asyncio.timeout(_LAST_WORDS):
                        await self._hand_back(request)
        except Exception:
            logger.exception("an attempt failed unexpectedly")
            await self._retry(request, "An internal error occurred.", max_attempts)
        finally:
            if child is not None:
                await self._children.give_back(child)
            else:
                self._queue.grant(1)

    async def _succeed(self, request: Request, result: StagedObject | None) -> None:
        changes: dict[str, Any] = {"user_message": "Success", "worker": ""}
        if result is not None:
            changes |= {
                "result": result.name,
                "content_type": result.content_type,
                "content_length": result.size,
                "md5": result.md5,
            }
        recorded = await self._record(request, Status.PROCESSED, **changes)
        if result is not None and not recorded:
            await self._discard(result.name)

    async def _discard(self, name: str) -> None:
        """Remove an object that is not needed any more; if that fails, the garbage collector finds it."""
        with suppress(StagingUnavailableError):
            await self._staging.delete(name)

    async def _retry(self, request: Request, reason: str, max_attempts: int | None) -> None:
        logger.warning("attempt %d failed: %s", request.attempt, reason)
        to, changes = after_failure(request, reason, self._settings, max_attempts)
        await self._record(request, to, **changes)

    async def _hand_back(self, request: Request) -> None:
        """Give a request back because this worker ends; that does not count as a failure."""
        await self._record(request, Status.QUEUED, worker="", lease_until=0.0)

    async def _record(self, request: Request, to: Status, **changes: Any) -> bool:
        """Set the outcome of this attempt, unless the request was lost."""
        self._ending.add((request.id, request.attempt))
        recorded = await self._outcomes.record(request, to, changes)
        if recorded and to in TERMINAL and isinstance(request.input, Upload):
            # The input of an archive, of no use to anybody now, takes the room of results.
            await self._discard(request.input.name)
        return recorded
