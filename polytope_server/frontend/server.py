"""The frontend process: the REST API under gunicorn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from polytope_server.config import Configuration
from polytope_server.frontend.app import make_application
from polytope_server.frontend.composition import compose
from polytope_server.frontend.proxy import proxies
from polytope_server.http.server import WebServer


class Server(WebServer):
    """gunicorn, configured by the section `frontend`."""

    def __init__(self, configuration: Configuration, data: Path) -> None:
        self._configuration = configuration
        self._data = data
        settings = configuration.settings
        super().__init__(
            "frontend",
            settings.frontend.bind_to,
            settings.frontend.port,
            settings.logging,
            (settings.frontend.management, "frontend.management"),
            settings.frontend.workers,
            settings.frontend.connections,
            proxies(settings.frontend),
        )

    def load(self) -> Any:
        services = compose(self._configuration, self._data)
        return make_application(services, self.listener, self.connections)
