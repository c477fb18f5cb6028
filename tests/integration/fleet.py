"""The processes of one deployment, each started on its own: of another version, or with another clock."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import pytest
import yaml
from faults import CountingSource

from testbed.launch import Process
from testbed.server import StandaloneServer
from testbed.services import NotInstalledError
from testbed.services.programs import program
from testbed.waiting import until

_CLOCK = """
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t id, struct timespec *now) {
    int failed = syscall(SYS_clock_gettime, id, now);
    const char *ahead = getenv("CLOCK_AHEAD");
    if (!failed && ahead && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) now->tv_sec += atol(ahead);
    return failed;
}

int gettimeofday(struct timeval *now, void *zone) {
    struct timespec found;
    clock_gettime(CLOCK_REALTIME, &found);
    now->tv_sec = found.tv_sec;
    now->tv_usec = found.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *now) {
    struct timespec found;
    clock_gettime(CLOCK_REALTIME, &found);
    if (now) *now = found.tv_sec;
    return found.tv_sec;
}
"""


def config(source: CountingSource, lease: float, **worker: Any) -> dict[str, Any]:
    """Sections for a server whose collection `slow` is served by that data source; one failure is the end."""
    keys = {"lease": lease, "retry_delay": 0.05, "max_attempts": 1, "max_lost_leases": 1, "concurrency": 4}
    return {
        "worker": {**keys, **worker},
        "broker": {"interval": 1, "lease": 1},
        "datasources": {"slow": {"type": "http", "url": source.url, "timeout": 300}},
        "collections": {"slow": {"roles": {"test": ["default"]}, "datasources": ["slow"]}},
    }


class Batch:
    """Requests that run while something is out of order, and must all be fetched, each once."""

    def __init__(self, server: StandaloneServer, source: CountingSource) -> None:
        self._server = server
        self._source = source
        self._texts: dict[str, str] = {}

    def submit(self, count: int, server: StandaloneServer | None = None) -> None:
        """Submit requests, here or at another server of the same deployment."""
        chosen = server or self._server
        with chosen.session() as session:
            for _ in range(count):
                text = f"request {uuid4().hex}"
                self._texts[chosen.submit(session, "slow", text)] = text

    def run(self) -> None:
        """Return when the data source has been asked for all of them."""
        until(lambda: all(text in self._source.asked for text in self._texts.values()), 120)

    def check(self) -> None:
        """None has failed, and none was fetched twice."""
        with self._server.session() as session:
            found = {key: self._server.poll(session, key).status_code for key in self._texts}
            assert found == dict.fromkeys(self._texts, 303)
            for key, text in self._texts.items():
                assert self._server.result(session, key).decode() == text
        assert {text: self._source.asked[text] for text in self._texts.values()} == dict.fromkeys(
            self._texts.values(), 1
        )


def wrong_clock(library: Path, seconds: int) -> dict[str, str]:
    """The environment of a process whose clock is so far ahead; its monotonic clock is as it is.

    `library` is made if it is not there. libfaketime will not do: it changes the waits for conditions of
    threads, too, so that a process under load stands still for seconds.
    """
    if not library.exists():
        try:
            command = [program("cc"), "-shared", "-fPIC", "-o", str(library), "-x", "c", "-"]
        except NotInstalledError as error:
            pytest.skip(str(error))
        subprocess.run(command, input=_CLOCK, text=True, check=True)
    return {"LD_PRELOAD": str(library), "CLOCK_AHEAD": str(seconds)}


class Fleet:
    """Processes that share the configuration and the data folder of a server that is itself not started."""

    def __init__(self, server: StandaloneServer) -> None:
        self.server = server
        self.processes: list[Process] = []
        server.data.mkdir(parents=True, exist_ok=True)
        server.files[-1].write_text(yaml.safe_dump(server.config))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if error is not None:
            print(self.log()[-8000:])

    def start(
        self,
        name: str,
        *,
        clock: dict[str, str] | None = None,
        code: Path | None = None,
        files: Sequence[Path] = (),
    ) -> Process:
        """Start a process: `clock` are variables for it, `code` is a folder with another version."""
        options = [part for file in (*self.server.files, *files) for part in ("-f", str(file))]
        arguments = [name, *options, "--data", str(self.server.data)]
        variables = {**self.server.environment, **(clock or {})}
        if code is not None:
            variables["PYTHONPATH"] = str(code)
        process = self.server.launch(arguments, self.server.log, variables)
        self.processes.append(process)
        return process

    def log(self) -> str:
        """What all of them have to say."""
        return self.server.log.read_text()

    def wait(self, server: StandaloneServer | None = None) -> None:
        """Return when a frontend answers."""
        deadline = time.monotonic() + 60
        while not (server or self.server).alive():
            assert time.monotonic() < deadline, self.log()[-5000:]
            time.sleep(0.02)
