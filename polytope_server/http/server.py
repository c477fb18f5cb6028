"""gunicorn with asynchronous workers, started from within: what serves every REST API of this package."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Container
from functools import partial
from typing import Any, ClassVar

from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger
from uvicorn_worker import UvicornWorker

from polytope_server.http.connections import Connections, connection_limits
from polytope_server.http.protocol import HTTPProtocol
from polytope_server.runtime import log
from polytope_server.runtime.management.address import listen
from polytope_server.runtime.process import die_with_parent, shorten_thread_switches
from polytope_server.settings.connections import ConnectionsSettings
from polytope_server.settings.management import ManagementSettings
from polytope_server.settings.root import LoggingSettings

#: Seconds that a process which is to stop has for the calls in progress.
_GRACE = 30
#: A worker process whose event loop has not turned for this many seconds is ended, and another started; each
#: gives a sign of life every half of it. No call holds the loop for a second, so one that is that late hangs.
#: It is not less, because a machine short of memory or disk may stop a process for a while, and the end of a
#: worker cuts everybody's polls, uploads and downloads.
_HUNG = 90


#: What uvicorn has to say of calls that are no HTTP, or ask for another protocol. They are answered.
_CAUSED_BY_ANYBODY = ("Invalid HTTP request", "Unsupported upgrade request", "No supported WebSocket library")

#: The section `management` of the process, and where it is in the configuration.
Management = tuple[ManagementSettings, str]


def _is_news(record: logging.LogRecord) -> bool:
    """Whether a message of uvicorn is to be logged: not what anybody can cause as often as they like."""
    return not record.getMessage().startswith(_CAUSED_BY_ANYBODY)


class WebWorker(UvicornWorker):  # type: ignore[misc]
    """The gunicorn worker: uvloop and httptools, no access log, no server header."""

    sockets: list[Any]
    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {
        "loop": "uvloop",
        # Another protocol would take over connections that are counted, and go on without bounds.
        "ws": "none",
        "lifespan": "on",
        "access_log": False,
        "server_header": False,
        "proxy_headers": False,
        "timeout_keep_alive": 75,
        "timeout_graceful_shutdown": _GRACE - 5,
    }

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        logging.getLogger("uvicorn.error").addFilter(_is_news)
        self.bound(Connections(connection_limits()))

    def bound(self, connections: Connections) -> None:
        """Count the connections there, with the bounds that it has."""
        self.config.http = partial(HTTPProtocol, connections=connections)

    async def _serve(self) -> None:
        # uvloop takes over sockets. Of what wraps one it closes the descriptor, and then the wrapper: by that
        # time the number may stand for a file that a thread has just opened.
        self.sockets = [listener.sock for listener in self.sockets]
        await super()._serve()

    def init_signals(self) -> None:
        """uvicorn handles these while it serves, and raises them again when done: to end in good order."""
        super().init_signals()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: sys.exit(0))


class _Logger(Logger):  # type: ignore[misc]
    """gunicorn's messages go where all others go."""

    def setup(self, cfg: Any) -> None:
        self.error_log = logging.getLogger("gunicorn.error")
        self.access_log = logging.getLogger("gunicorn.access")
        self.error_log.propagate = True


class WebServer(BaseApplication):  # type: ignore[misc]
    """A process that serves one ASGI application, which `load` makes in each worker process."""

    def __init__(
        self,
        name: str,
        host: str,
        port: int,
        logging: LoggingSettings,
        management: Management,
        workers: int = 1,
        connections: ConnectionsSettings | None = None,
        proxies: Container[str] = (),
    ) -> None:
        """`name` is that of the process, for its log; `workers` the number of worker processes.

        `connections` bound those of each worker process, `proxies` are peers with those of many clients.

        Raises ConfigurationError if the management port cannot be opened.
        """
        self._name = name
        #: For management, shared by all worker processes: one of them answers.
        self.listener = listen(*management)
        self._logging = logging
        #: Of this process, and of each worker process after the fork.
        self.connections = Connections(connection_limits(connections), proxies)
        self._options = {
            "bind": f"{bracketed(host)}:{port}",
            "workers": workers,
            "worker_class": WebWorker,
            "logger_class": _Logger,
            "timeout": _HUNG,
            "graceful_timeout": _GRACE,
            "post_fork": self.on_fork,
            "control_socket_disable": True,
            "proc_name": f"polytope-{name}",
        }
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._options.items():
            if name in self.cfg.settings:  # control_socket_disable: gunicorn 25 and later
                self.cfg.set(name, value)

    def on_fork(self, arbiter: Any, worker: Any) -> None:
        """What a worker process does first."""
        die_with_parent(arbiter.pid if hasattr(arbiter, "pid") else os.getppid())
        log.configure(self._logging, self._name)
        shorten_thread_switches()
        worker.bound(self.connections)


def bracketed(host: str) -> str:
    """A host name or address as it stands before a port: IPv6 addresses in brackets."""
    return f"[{host}]" if ":" in host else host
