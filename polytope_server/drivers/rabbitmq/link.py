"""A connection to RabbitMQ that is made again when it is lost."""

from __future__ import annotations

import asyncio
import logging
import math
import random
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from pika import ConnectionParameters, PlainCredentials, SSLOptions

from polytope_server.back_off import BackOff
from polytope_server.drivers.rabbitmq import RabbitMQSettings
from polytope_server.drivers.rabbitmq.connection import CONNECT_TIME, Connection
from polytope_server.drivers.rabbitmq.errors import FAILURES, RabbitMQUnavailableError, reason
from polytope_server.runtime.unavailable import UnavailableError

logger = logging.getLogger(__name__)

#: Seconds to establish a TCP connection; and for what comes of an attempt, when opening.
_SOCKET_TIME, _OPEN_TIME = 2.0, 5.0
#: Seconds between attempts to connect; a connection that has lasted counts as a success.
_FIRST_PAUSE, _LONGEST_PAUSE, _LASTED = 0.1, 2.0, 5.0


class Link:
    """A connection to RabbitMQ that is made again, for ever, when it is lost.

    Each time it is made, `set_up` prepares what is needed on it, and `lost` is called when it is gone.
    """

    def __init__(
        self,
        settings: RabbitMQSettings,
        purpose: str,
        set_up: Callable[[Connection], Awaitable[None]],
        lost: Callable[[], None],
    ) -> None:
        """`purpose` names the connection, on the server and in the log."""
        self._settings = settings
        self._set_up, self._when_lost = set_up, lost
        self._purpose = purpose
        #: Names the server and the purpose in errors and in the log, without credentials.
        self.server = f"RabbitMQ at {settings.host}:{settings.port} ({purpose})"
        self._keeper: asyncio.Task[None] | None = None
        self._up: Connection | None = None
        self._trouble = ""
        self._attempt: asyncio.Future[None] | None = None
        self._up_since = math.inf

    @property
    def connection(self) -> Connection:
        """The connection. Raises :class:`RabbitMQUnavailableError` if there is none at the moment."""
        if self._up is None:
            raise RabbitMQUnavailableError(f"{self.server}: {self._trouble or 'not connected'}")
        return self._up

    @contextmanager
    def failing_with(self, kind: type[UnavailableError]) -> Iterator[None]:
        """A context for operations: an error of the driver becomes one of `kind`, with a text for the log."""
        try:
            yield
        except RabbitMQUnavailableError as error:
            raise kind(str(error)) from None
        except FAILURES as error:
            raise kind(f"{self.server}: {reason(error)}") from None

    def start(self) -> None:
        """Begin to connect, and stay connected until :meth:`close`."""
        if self._keeper is None:
            self._attempt = asyncio.get_running_loop().create_future()
            self._keeper = asyncio.create_task(self._keep())

    async def open(self) -> None:
        """Start, and wait for what comes of the attempt to connect, for 5 s at most.

        Raises :class:`RabbitMQUnavailableError` if there is no connection then; attempts go on.
        """
        self.start()
        if self._up is None and self._attempt is not None:
            await asyncio.wait((self._attempt,), timeout=_OPEN_TIME)
        _ = self.connection

    async def close(self) -> None:
        """End the connection."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait((self._keeper,))
            self._keeper = None

    async def _keep(self) -> None:
        back_off = BackOff(_FIRST_PAUSE, _LONGEST_PAUSE)
        while True:
            self._up_since = math.inf
            self._failed(await self._use_one())
            if time.monotonic() - self._up_since > _LASTED:
                back_off.succeeded()
            # Not all processes at the same time.
            await asyncio.sleep(back_off.failed() * random.uniform(0.5, 1))  # noqa: S311 -- no secret

    async def _use_one(self) -> Exception:
        """Make one connection and wait for its end; returns why it ended."""
        try:
            async with self._connected() as connection:
                await connection.open()
                await self._set_up(connection)
                self._succeeded(connection)
                return await connection.over
        except Exception as error:  # whatever the driver makes of a server that is broken
            return error

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Connection]:
        connection = Connection(self._parameters())
        try:
            yield connection
        finally:
            self._up = None
            self._when_lost()
            await connection.close()

    def _succeeded(self, connection: Connection) -> None:
        if self._trouble:
            logger.info("%s is back", self.server)
        self._up, self._trouble, self._up_since = connection, "", time.monotonic()
        self._attempted()

    def _failed(self, error: Exception) -> None:
        if not self._trouble:
            logger.warning("%s: %s; trying again and again", self.server, reason(error))
        self._trouble = reason(error)
        self._attempted()
        self._attempt = asyncio.get_running_loop().create_future()

    def _attempted(self) -> None:
        if self._attempt is not None and not self._attempt.done():
            self._attempt.set_result(None)

    def _parameters(self) -> Any:
        settings = self._settings
        tls = None
        if settings.tls:
            tls = SSLOptions(ssl.create_default_context(cafile=settings.ca_file), settings.host)
        return ConnectionParameters(
            host=settings.host,
            port=settings.port,
            virtual_host=settings.virtual_host,
            credentials=PlainCredentials(settings.user, settings.password),
            heartbeat=int(settings.keep_alive_interval),
            socket_timeout=_SOCKET_TIME,
            stack_timeout=CONNECT_TIME,
            ssl_options=tls,
            client_properties={"connection_name": f"polytope-server, {self._purpose}"},
        )
