"""The process of the grid service: gunicorn, configured by the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from polytope_server.grid_service.app import make_application
from polytope_server.grid_service.look_up import LookUp
from polytope_server.http.server import WebServer
from polytope_server.runtime import log
from polytope_server.settings.management import ManagementSettings
from polytope_server.settings.root import LoggingSettings


class Server(WebServer):
    """One process, in which one request at a time reads the FDB."""

    def __init__(self, host: str, port: int, fdb_config: Path | None) -> None:
        """Raises ConfigurationError if a port cannot be opened."""
        self._fdb_config = fdb_config
        logging = LoggingSettings.model_validate({})
        log.configure(logging, "grid-service")
        management = ManagementSettings.model_validate({"port": 0})
        super().__init__("grid-service", host, port, logging, (management, "management"))

    def load(self) -> Any:
        return make_application(LookUp(self._fdb_config))
