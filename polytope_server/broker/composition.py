"""Makes a broker from the configuration."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from uuid import uuid4

from polytope_server.broker.broker import Broker
from polytope_server.broker.leadership import Leadership
from polytope_server.broker.parts import Parts
from polytope_server.config import Configuration
from polytope_server.request_store import RequestStore
from polytope_server.settings import create_backend


def make_broker(configuration: Configuration, data: Path) -> Broker:
    """The broker that the configuration describes; `data` is the data folder."""
    return Broker(configuration.settings, configuration.collections, make_parts(configuration, data))


def make_parts(configuration: Configuration, data: Path) -> Parts:
    """The parts of that broker."""
    settings = configuration.settings
    name = f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}"

    def make_store() -> RequestStore:
        store: RequestStore = create_backend("request_store", settings.request_store, data)
        return store

    return Parts(
        name=name,
        store=make_store(),
        queue=create_backend("queue", settings.queue, data),
        notices=create_backend("notices", settings.notices, data),
        leadership=Leadership(make_store, name, settings.broker.lease),
    )
