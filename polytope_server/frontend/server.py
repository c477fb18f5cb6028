"""The frontend process: gunicorn with asynchronous workers, started from within."""

from __future__ import annotations

import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any, ClassVar

from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger
from uvicorn_worker import UvicornWorker

from polytope_server import log
from polytope_server.config import Configuration
from polytope_server.frontend.app import Application
from polytope_server.frontend.proxy import Proxied
from polytope_server.process import die_with_parent

#: A server process that is told to stop gets so many seconds for the calls in progress.
_GRACE = 30


class FrontendWorker(UvicornWorker):  # type: ignore[misc]
    """The gunicorn worker: uvloop and httptools, no access log, no server header."""

    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {
        "loop": "uvloop",
        "http": "httptools",
        "lifespan": "on",
        "access_log": False,
        "server_header": False,
        "proxy_headers": False,
        "timeout_keep_alive": 75,
        "timeout_graceful_shutdown": _GRACE - 5,
    }

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
        # On every stop: uvicorn has closed the socket already.
        self.error_log.addFilter(lambda record: "Error while closing socket" not in record.getMessage())


class Server(BaseApplication):  # type: ignore[misc]
    """gunicorn, configured by the section `frontend`."""

    def __init__(self, configuration: Configuration, data: Path) -> None:
        self._configuration = configuration
        self._data = data
        super().__init__()

    def load_config(self) -> None:
        settings = self._configuration.settings.frontend
        options = {
            "bind": f"{_bracketed(settings.bind_to)}:{settings.port}",
            "workers": settings.workers,
            "worker_class": FrontendWorker,
            "logger_class": _Logger,
            "graceful_timeout": _GRACE,
            "post_fork": self._on_fork,
            "control_socket_disable": True,
            "proc_name": "polytope-frontend",
        }
        for name, value in options.items():
            if name in self.cfg.settings:  # control_socket_disable: gunicorn 25 and later
                self.cfg.set(name, value)

    def load(self) -> Any:
        application = Application(self._configuration, self._data)
        return Proxied(application) if self._configuration.settings.frontend.proxy_support else application

    def _on_fork(self, arbiter: Any, worker: Any) -> None:
        die_with_parent(arbiter.pid if hasattr(arbiter, "pid") else os.getppid())
        log.configure(self._configuration.settings.logging, "frontend")


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
