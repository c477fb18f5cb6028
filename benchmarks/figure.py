"""What a figure is, how long the measurements are, and what several of them need."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

MIB = 1 << 20


@dataclass(frozen=True)
class Plan:
    """How long and how large the measurements are."""

    rounds: int
    seconds: float
    sequential: int
    client: int
    live: int
    file: int
    large: int
    starts: int
    idle: float
    huge: int
    stored: int
    transfer: int
    abuse: float
    users: int
    listed: int
    #: Octahedral grids of the fields that features are extracted from.
    grid: int
    upper_grid: int
    member_grid: int
    members: int
    steps: int
    #: Fields that are interpolated.
    interpolated: int


FULL = Plan(
    rounds=5,
    seconds=1.5,
    sequential=100,
    client=20,
    live=1000,
    file=1 << 30,
    large=2 << 30,
    starts=3,
    idle=10.0,
    huge=4 << 30,
    stored=100_000,
    transfer=1 << 30,
    abuse=30.0,
    users=50,
    listed=200,
    grid=1280,
    upper_grid=320,
    member_grid=160,
    members=50,
    steps=60,
    interpolated=20,
)
QUICK = Plan(
    rounds=1,
    seconds=0.1,
    sequential=10,
    client=5,
    live=50,
    file=32 << 20,
    large=64 << 20,
    starts=1,
    idle=1.0,
    huge=64 << 20,
    stored=200,
    transfer=48 << 20,
    abuse=0.4,
    # The server makes a hash of the password of each.
    users=5,
    listed=5,
    grid=32,
    upper_grid=32,
    member_grid=32,
    members=3,
    steps=4,
    interpolated=3,
)


@dataclass(frozen=True)
class Target:
    """What a figure should reach: of its value, or of its ratio to the floor."""

    limit: float
    aim: float | None = None
    of_ratio: bool = False
    at_least: bool = True

    def met(self, value: float, ratio: float | None) -> bool:
        """Whether it is reached."""
        measured = ratio if self.of_ratio else value
        if measured is None:
            return False
        return measured >= self.limit if self.at_least else measured <= self.limit

    def __str__(self) -> str:
        sign = ">=" if self.at_least else "<="
        if self.of_ratio:
            return f"{sign} {self.limit:.0%} of floor"
        aim = f" (aim {self.aim:g})" if self.aim is not None else ""
        return f"{sign} {self.limit:g}{aim}"


@dataclass(frozen=True)
class Figure:
    """One figure: medians of all rounds, and the median of each round's ratio."""

    name: str
    unit: str
    values: list[float]
    floors: list[float]
    floor: str
    target: Target | None = None

    @property
    def value(self) -> float:
        return statistics.median(self.values)

    @property
    def floor_value(self) -> float | None:
        return statistics.median(self.floors) if self.floors else None

    @property
    def ratio(self) -> float | None:
        """Value over floor, paired by round where there are as many of both: noise hits both of a pair."""
        if len(self.values) == len(self.floors) and all(self.floors):
            return statistics.median(v / f for v, f in zip(self.values, self.floors, strict=True))
        return self.value / self.floor_value if self.floor_value else None

    @property
    def met(self) -> bool | None:
        """Whether the target is met, None if there is none."""
        return self.target.met(self.value, self.ratio) if self.target else None

    def to_document(self) -> dict[str, Any]:
        """As JSON: the medians, and every round."""
        derived = {"value": self.value, "floor_value": self.floor_value, "ratio": self.ratio, "met": self.met}
        return {**asdict(self), **derived, "target": str(self.target) if self.target else None}


def alternate(
    plan: Plan, floor: Callable[[], float], measure: Callable[[], float]
) -> tuple[list[float], list[float]]:
    """Floors and values of all rounds. The first one does not count: connections and caches are cold.

    Of a single round nothing is expected but that it works.
    """
    if plan.rounds > 1:
        floor()
        measure()
    pairs = [(floor(), measure()) for _ in range(plan.rounds)]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def on(count: int) -> str:
    return "1 connection" if count == 1 else f"{count} connections"


class Peaks:
    """The peak of resident memory of processes from now on."""

    def __init__(self, processes: list[psutil.Process]) -> None:
        self._processes = processes
        for process in processes:
            Path(f"/proc/{process.pid}/clear_refs").write_text("5")
        self._before = [_peak(process) for process in processes]

    def growth(self) -> float:
        """MiB by which the process that grew most has grown."""
        after = map(_peak, self._processes)
        return max(now - before for now, before in zip(after, self._before, strict=True)) / MIB


def _peak(process: psutil.Process) -> int:
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def gib(size: int) -> str:
    """A size for a name."""
    return f"{size >> 30} GiB" if size >= 1 << 30 else f"{size >> 20} MiB"
