"""The worker process of the web server."""

from __future__ import annotations

import socket
from types import SimpleNamespace

import pytest
from uvicorn_worker import UvicornWorker

from polytope_server.http.server import WebWorker


async def test_sockets_are_given_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """uvloop closes the descriptor of anything else, and whoever wraps the socket does so once more."""
    given: list[object] = []

    async def serve(worker: WebWorker) -> None:
        given.extend(worker.sockets)

    monkeypatch.setattr(UvicornWorker, "_serve", serve)
    with socket.socket() as listener:
        worker = WebWorker.__new__(WebWorker)
        worker.sockets = [SimpleNamespace(sock=listener)]
        await worker._serve()
        assert given == [listener]
