"""What the management port answers, and the health check that asks it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from polytope_server import __version__
from polytope_server.request_store import StoreUnavailableError
from polytope_server.runtime.management import VARIABLE, healthcheck
from polytope_server.runtime.management.address import listen
from polytope_server.runtime.management.health import Check, Health
from polytope_server.runtime.management.metrics import Metrics
from polytope_server.runtime.management.server import Management
from polytope_server.settings.management import ManagementSettings
from testbed.services.service import free_port


@dataclass
class Process:
    """A process that is well until the test says otherwise."""

    port: int
    health: Health
    http: aiohttp.ClientSession
    broken: bool = False
    checks: int = 0
    draining: bool = False

    async def ask(self, path: str, method: str = "GET") -> tuple[int, str]:
        async with self.http.request(method, f"http://127.0.0.1:{self.port}{path}") as answer:
            return answer.status, await answer.text()

    async def ready(self) -> tuple[int, dict[str, Any]]:
        status, text = await self.ask("/readyz")
        return status, json.loads(text)


@asynccontextmanager
async def process() -> AsyncIterator[Process]:
    async def store() -> None:
        served.checks += 1
        if served.broken:
            raise StoreUnavailableError("down")

    async def cache() -> None:
        raise ConnectionError

    port = free_port()
    health = Health({"request_store": Check(store), "caching": Check(cache, needed=False)}, clock=ticks())
    listener = listen(ManagementSettings(port=port), "broker.management")
    management = Management(listener, health, Metrics("broker"), lambda: served.draining)
    async with aiohttp.ClientSession() as session:
        served = Process(port, health, session)
        await management.open()
        try:
            yield served
        finally:
            await management.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


def ticks() -> Any:
    """A clock by which nothing is kept."""
    now = iter(range(0, 10**9, 10))
    return lambda: next(now)


async def test_ready_means_started_with_all_that_is_needed_and_not_about_to_end() -> None:
    async with process() as served:
        status, found = await served.ready()
        assert (status, found["ready"], found["started"]) == (503, False, False)
        served.health.started = True
        assert await served.ready() == (
            200,
            {
                "ready": True,
                "started": True,
                "draining": False,
                "backends": {
                    "request_store": {"ok": True, "needed": True},
                    "caching": {"ok": False, "needed": False, "why": "ConnectionError"},
                },
            },
        )
        served.broken = True
        status, found = await served.ready()
        assert (status, found["backends"]["request_store"]["why"]) == (503, "down")
        served.broken, served.draining = False, True
        status, found = await served.ready()
        assert (status, found["ready"], found["draining"]) == (503, False, True)
        assert found["backends"]["request_store"]["ok"]


async def test_a_process_lives_whatever_its_back_ends_do() -> None:
    async with process() as served:
        served.broken = served.draining = True
        assert await served.ask("/livez") == (200, "ok\n")
        assert await served.ask("/livez", "HEAD") == (200, "")
        assert served.checks == 0


async def test_nothing_else_is_answered() -> None:
    async with process() as served:
        for path in ("/", "/api/v1/test", "/livez/x"):
            assert (await served.ask(path))[0] == 404
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            assert (await served.ask("/livez", method))[0] == 405


async def test_what_is_no_http_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with process() as served:
        assert (await served.ask("/" + "x" * 5000))[0] == 400
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(b"\x16\x03\x01 anything")
        assert b" 400 " in await reader.readline()
        writer.close()
        await writer.wait_closed()
        assert not [record for record in caplog.records if record.levelname != "INFO"]


async def test_metrics_are_in_the_text_format_of_prometheus() -> None:
    async with process() as served:
        StoreUnavailableError("counted")
        status, text = await served.ask("/metrics")
        assert status == 200
        samples = {
            (sample.name, *sorted(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }
        build = ("polytope_build_info", ("process", "broker"), ("version", __version__))
        assert samples[build] == 1
        assert samples["polytope_backend_errors_total", ("role", "request_store")] == 1
        assert samples["process_resident_memory_bytes",] > 0


async def test_the_health_check_tells_by_its_exit_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with process() as served:
        monkeypatch.setenv(VARIABLE, str(served.port))
        assert await asyncio.to_thread(healthcheck.check) == 0
        assert capsys.readouterr().err == ""
    assert await asyncio.to_thread(healthcheck.check) == 1
    assert "does not answer" in capsys.readouterr().err
    monkeypatch.setenv(VARIABLE, "")
    assert healthcheck.check() == 1
    assert VARIABLE in capsys.readouterr().err


async def test_a_probe_gets_in_however_many_connections_are_held() -> None:
    async with process() as served:
        held = [await asyncio.open_connection("127.0.0.1", served.port) for _ in range(100)]
        assert (await served.ask("/livez"))[0] == 200
        # The oldest had to go.
        assert await asyncio.wait_for(_ended(held[0][0]), 20)
        for _, writer in held:
            writer.transport.abort()


async def _ended(reader: asyncio.StreamReader) -> bool:
    try:
        return await reader.read() == b""
    except ConnectionResetError:
        return True
