"""A frontend that learns late that it must not work on a store ends."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from polytope_server.drivers.schema_version import IncompatibleSchemaError
from polytope_server.frontend.lifecycle import end_if_incompatible


async def test_it_ends_though_it_has_begun_to_serve(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append((pid, number)))

    async def opening() -> None:
        raise IncompatibleSchemaError("the store is too new")

    task = asyncio.create_task(opening())
    task.add_done_callback(end_if_incompatible)
    await asyncio.gather(task, return_exceptions=True)
    assert sent == [(os.getpid(), signal.SIGTERM)]
    assert "the store is too new" in caplog.text
