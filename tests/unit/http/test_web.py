"""The worker process of the web server."""

from __future__ import annotations

import socket
from types import SimpleNamespace

import pytest
from uvicorn.config import Config
from uvicorn_worker import UvicornWorker

from polytope_server.http.server import WebWorker


async def _app(scope: object, receive: object, send: object) -> None:
    raise NotImplementedError


def test_sockets_are_given_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """uvloop closes the descriptor of anything else, and what wraps the socket closes it once more."""
    given: list[object] = []

    async def serve(worker: WebWorker) -> None:
        given.extend(worker.sockets)

    monkeypatch.setattr(UvicornWorker, "_serve", serve)
    with socket.socket() as listener:
        worker = WebWorker.__new__(WebWorker)
        worker.config = Config(_app)
        worker.sockets = [SimpleNamespace(sock=listener)]
        worker.run()
        assert given == [listener]
