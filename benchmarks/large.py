"""Large results of a standalone server: their speed, and the memory that they take."""

from __future__ import annotations

import os
import time
from pathlib import Path
from uuid import uuid4

from benchmarks import load
from benchmarks.figure import MIB, Figure, Peaks, Target, gib
from benchmarks.standalone import API, AUTH, Bench, complete_one, processed

_MB = 1e6


def _make(run: Bench, size: int) -> str:
    """Have a result of that many bytes made; returns its path on the server."""
    paths: list[str] = []
    body = {"verb": "retrieve", "request": str(size)}

    def session() -> load.Session:
        submitted = yield load.message("POST", f"{API}/requests/dummy", AUTH, body)
        paths.append((yield from processed(load.request_id(load.check(submitted, 202)))))

    load.run(run.server.port, load.Round(120.0), [session()])
    return paths[0]


def _staged(run: Bench, path: str) -> Path:
    """The file of a result in the staging."""
    return run.server.data / "staging" / "objects" / path.removeprefix(f"{API}/downloads/")


def _megabytes(port: int, path: str, size: int) -> float:
    received, seconds = load.download(port, path)
    if received != size:
        raise load.LoadError(f"{received} bytes came instead of {size}")
    return received / seconds / _MB


def _speed(run: Bench, path: str, size: int, rounds: int) -> tuple[list[float], list[float]]:
    """MB/s of the bare server and of this one, each on the same file."""
    link = run.bare.link(_staged(run, path))
    floors, values = [], []
    for _ in range(rounds):
        floors.append(_megabytes(run.bare.port, link, size))
        values.append(_megabytes(run.server.port, path, size))
    return floors, values


def memory(run: Bench) -> list[Figure]:
    """Growth of the peak memory of every process while a large result is made, and while it flows.

    Comes before all else that is large: what a process has once taken it would not have to take again.
    """
    size, name, target = run.plan.large, gib(run.plan.large), Target(64, at_least=False)
    processes = run.server.all_processes()
    making = Peaks(processes)
    started = time.perf_counter()
    path = _make(run, size)
    made = size / (time.perf_counter() - started) / _MB
    growth = making.growth()
    write = _write_speed(run, _staged(run, path), size)
    flowing, bare = Peaks(processes), Peaks(run.bare.processes())
    floors, values = _speed(run, path, size, rounds=max(1, run.plan.rounds - 3))
    complete_one(run.server)
    return [
        Figure(f"{name} result: made", "MB/s", [made], [write], "the same bytes written to disk"),
        Figure(f"{name} result: growth of memory, made", "MiB", [growth], [], "none", target),
        Figure(
            f"{name} result: growth of memory, flowing", "MiB", [flowing.growth()], [bare.growth()],
            "bare Falcon, same file", target,
        ),
        Figure(
            f"{name} result: to the client", "MB/s", values, floors, "bare Falcon, same file",
            Target(0.6, of_ratio=True),
        ),
    ]  # fmt: skip


def _write_speed(run: Bench, source: Path, size: int) -> float:
    """MB/s of writing as many bytes to a file of the same disk, and syncing it."""
    target, chunk = run.bare.folder / uuid4().hex, b"x" * MIB
    started = time.perf_counter()
    with target.open("wb", buffering=0) as file:
        for _ in range(size // MIB):
            file.write(chunk)
        os.fsync(file.fileno())
    seconds = time.perf_counter() - started
    target.unlink()
    return size / seconds / _MB


def download(run: Bench) -> list[Figure]:
    """A large result to the client, again and again: the file is in the page cache, for both."""
    path = _make(run, run.plan.file)
    floors, values = _speed(run, path, run.plan.file, run.plan.rounds)
    name = f"{gib(run.plan.file)} result: to the client"
    return [Figure(name, "MB/s", values, floors, "bare Falcon, same file", Target(0.6, of_ratio=True))]
