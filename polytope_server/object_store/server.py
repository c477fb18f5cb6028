"""The object store process: gunicorn, configured by the section `staging.polytope`."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

from polytope_server.config import Configuration
from polytope_server.http.server import WebServer
from polytope_server.object_store.app import make_application
from polytope_server.settings import ConfigurationError, backend_settings
from polytope_server.staging.polytope import PolytopeStagingSettings

#: Seconds after which the system ends a connection whose client takes nothing, or whose machine is gone.
_GONE = 120


class Server(WebServer):
    """One process: it counts what the quota allows, and its disk is slower than it."""

    def __init__(self, configuration: Configuration, data: Path) -> None:
        """Raises ConfigurationError unless the staging is an object store."""
        section = configuration.settings.staging
        if "polytope" not in section:
            raise ConfigurationError(
                [f"staging: is {next(iter(section))!r}; the object store serves `staging.polytope` only"]
            )
        settings = backend_settings("staging", "polytope", section["polytope"] or {}, "staging.polytope")
        assert isinstance(settings, PolytopeStagingSettings)  # noqa: S101 -- for the type
        self._settings = settings
        self._data = data
        super().__init__(
            "object-store",
            settings.listen_on,
            settings.port,
            configuration.settings.logging,
            (settings.management, "staging.polytope.management"),
        )

    def load(self) -> Any:
        return make_application(self._settings, self._data, self.listener, self.connections)

    def on_fork(self, arbiter: Any, worker: Any) -> None:
        super().on_fork(arbiter, worker)
        for listener in worker.sockets:
            end_dead_connections(listener.sock, _GONE)


def end_dead_connections(listener: socket.socket, seconds: int) -> None:
    """Have the system end the connections of a listening socket that are stuck for that long.

    Nothing else would: HTTP knows no answer to a client that neither reads on nor hangs up.
    """
    options = {
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE): 1,
        # The names are those of Linux; elsewhere the system's own times hold.
        (socket.IPPROTO_TCP, getattr(socket, "TCP_KEEPIDLE", None)): max(1, seconds // 2),
        (socket.IPPROTO_TCP, getattr(socket, "TCP_KEEPINTVL", None)): max(1, seconds // 8),
        (socket.IPPROTO_TCP, getattr(socket, "TCP_USER_TIMEOUT", None)): seconds * 1000,
    }
    for (level, option), value in options.items():
        if option is not None:
            listener.setsockopt(level, option, value)
