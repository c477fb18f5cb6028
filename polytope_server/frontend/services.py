"""Everything that the resources of the REST API use, opened and closed together."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polytope_server import accounts
from polytope_server.accounts.api_keys import APIKeys
from polytope_server.accounts.users import Identity
from polytope_server.authentication.configuration import create_authentication
from polytope_server.caching import Cache
from polytope_server.collection import Collection, DataSourceConfig
from polytope_server.config import Configuration, coercion_rules, source_rules
from polytope_server.datasource import factory
from polytope_server.drivers.schema_version import IncompatibleSchemaError
from polytope_server.frontend.background import BackgroundWork
from polytope_server.frontend.download_marks import DownloadMarks
from polytope_server.frontend.limits import DoorLimits
from polytope_server.frontend.lists import Lists
from polytope_server.frontend.metrics import FrontendMetrics
from polytope_server.frontend.support import Support
from polytope_server.frontend.transfers import Transfers
from polytope_server.frontend.waiters import Waiters
from polytope_server.language import CoercionRules, SourceRules
from polytope_server.notices import Notices, Topic
from polytope_server.request_store import RequestStore
from polytope_server.runtime.management.health import Check, Health
from polytope_server.runtime.process import Part, opened
from polytope_server.secrets.deployment_key import DeploymentKeys
from polytope_server.secrets.sealing import REQUESTS, Seals
from polytope_server.settings import create_backend
from polytope_server.settings.secrets import are_shared
from polytope_server.staging import Staging

logger = logging.getLogger(__name__)

#: A frontend that starts waits so long for its back-ends; then it answers calls without those that lack.
_OPEN_TIME = 5.0
#: Seconds for the last note of what was downloaded, when a frontend ends.
_LAST_MARKS = 2.0


@dataclass(frozen=True)
class Source:
    """A data source as the frontend sees it: what it accepts, whether it archives, what it needs of users."""

    config: DataSourceConfig
    rules: SourceRules
    archives: bool
    attributes: frozenset[str] = frozenset()


class Services:
    """The back-ends and derived tables of one frontend process."""

    def __init__(self, configuration: Configuration, data: Path) -> None:
        settings = configuration.settings
        self.settings = settings.frontend
        self.input_hosts = frozenset(settings.worker.input_hosts)
        self.admin_roles = settings.admin.roles
        self.collections: Mapping[str, Collection] = configuration.collections
        self.coercion: CoercionRules = coercion_rules(settings)
        self.sources: dict[str, list[Source]] = {
            name: [
                Source(
                    config, source_rules(config), factory.archives(config), factory.user_attributes(config)
                )
                for config in collection.datasources
            ]
            for name, collection in configuration.collections.items()
        }
        self.store: RequestStore = create_backend("request_store", settings.request_store, data)
        self.notices: Notices = create_backend("notices", settings.notices, data)
        self.staging: Staging = create_backend("staging", settings.staging, data)
        self.staging.limit_gathering(settings.frontend.transfers.upload_memory)
        self.cache: Cache = create_backend("caching", settings.caching, data)
        needed = frozenset[str]().union(
            *(source.attributes for named in self.sources.values() for source in named)
        )
        self.authentication = create_authentication(settings, data, self.cache, needed)
        #: None where a worker could not open what is sealed here.
        self.seals: Seals | None = None
        if needed and are_shared(settings.secrets, settings.queue):
            self.seals = Seals(DeploymentKeys(settings.secrets, data), REQUESTS)
        self.download_marks = DownloadMarks(self.store)
        self.limits = DoorLimits(settings.frontend.limits, self.cache, self.store)
        self.transfers = Transfers(settings.frontend.transfers, self.store)
        self.background = BackgroundWork()
        self.lists = Lists(self.store, self.background, settings.frontend.listed)
        self.support = Support(settings.support)
        self.identity: Identity | None = accounts.create_users(settings, data)
        self.api_keys: APIKeys | None = accounts.create_api_keys(settings, data)
        self.waiters = Waiters()
        self.metrics = FrontendMetrics(configuration.collections)
        self.health = Health(
            {
                "request_store": Check(self.store.check),
                "staging": Check(self.staging.check),
                "caching": Check(self.cache.check, needed=False),
            }
        )
        self._stack = AsyncExitStack()
        self._stop = asyncio.Event()
        self._opening: asyncio.Task[None] | None = None
        self._marking: asyncio.Task[None] | None = None

    def _parts(self) -> list[Any]:
        parts = [self.store, self.notices, self.staging, self.cache, self.authentication]
        return parts + [part for part in (self.identity, self.api_keys) if part is not None]

    async def open(self) -> None:
        """Connect all back-ends, and listen to what ends.

        Returns after a while even if some cannot be reached: calls that need them are answered with 503 until
        they can.
        """
        self._marking = asyncio.create_task(self.download_marks.run())
        self._opening = asyncio.create_task(self._open())
        self._opening.add_done_callback(_end_if_refused)
        await asyncio.wait([self._opening], timeout=_OPEN_TIME)
        if self._opening.done():
            self._opening.result()
        self.health.started = True

    async def _open(self) -> None:
        # All at once: one that cannot be reached must not keep the others waiting.
        await asyncio.gather(*map(self._connect, self._parts()))

    async def _connect(self, part: Part) -> None:
        ready = await self._stack.enter_async_context(opened([part], self._stop))
        if ready and part is self.notices:
            await self.notices.subscribe({Topic.ENDED, Topic.REMOVED}, self.waiters.on_notice)

    async def close(self) -> None:
        """Disconnect all back-ends."""
        self.waiters.release()
        self._stop.set()
        if self._opening is not None:
            await asyncio.gather(self._opening, return_exceptions=True)
        if self._marking is not None:
            self._marking.cancel()
            with suppress(TimeoutError):
                await asyncio.wait_for(self.download_marks.write(), _LAST_MARKS)
        await self._stack.aclose()
        self.background.close()


def _end_if_refused(opening: asyncio.Task[None]) -> None:
    """End this process if it must not work on a store, also if it learns that late: it has begun to serve."""
    error = None if opening.cancelled() else opening.exception()
    if isinstance(error, IncompatibleSchemaError):
        logger.critical("%s", error)
        os.kill(os.getpid(), signal.SIGTERM)
