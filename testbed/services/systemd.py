"""systemd as the first process of namespaces of its own, to run units as they are written.

It sees the files of this machine, and what it or its units write is gone at the end. The network is that of
the machine.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from testbed.services import systemd_init
from testbed.services.programs import NotInstalledError, program
from testbed.services.service import Service

_NAMESPACES = ("--mount", "--pid", "--uts", "--ipc")
_COMMAND_TIME = 120


class Systemd(Service):
    """A manager of system services that knows only the given units."""

    name = "systemd"

    def __init__(self, folder: Path, files: Mapping[str, str], installed: Mapping[str, Path]) -> None:
        """`files` are texts of files by their paths; `installed` files or folders of this machine likewise.

        Raises NotInstalledError where this machine cannot run it.
        """
        super().__init__(folder)
        program(self.name)
        if os.geteuid() != 0 or shutil.which("unshare") is None or not _can_mount(self.folder):
            raise NotInstalledError("cannot be had: namespaces with an overlay file system, which need root")
        systemd_init.Plan(dict(files), {path: str(where) for path, where in installed.items()}).write(
            self.folder
        )

    def command(self) -> Sequence[str]:
        unshare = ["unshare", *_NAMESPACES, "--fork", "--kill-child", "--propagation", "private"]
        return [*unshare, sys.executable, systemd_init.__file__, str(self.folder)]

    def environment(self) -> Mapping[str, str]:
        # Nothing of the tests' own environment reaches a unit.
        return {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}

    @property
    def variables(self) -> dict[str, str]:
        return {}

    def ready(self) -> bool:
        return self.run("systemctl", "is-system-running", check=False).stdout.strip() in (
            "running",
            "degraded",
        )

    def stop(self) -> None:
        super().stop()
        systemd_init.remove_group(self.folder)

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command beside the units, as root."""
        enter = ["nsenter", "--target", str(self._first()), *_NAMESPACES, "--root", "--wd"]
        done = subprocess.run(
            [*enter, *command], capture_output=True, text=True, timeout=_COMMAND_TIME, check=False,
            env=dict(self.environment()),
        )  # fmt: skip
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stdout}{done.stderr}")
        return done

    def show(self, unit: str, name: str) -> str:
        """A property of a unit."""
        return self.run("systemctl", "show", "--property", name, "--value", unit).stdout.strip()

    def processes(self, unit: str) -> list[psutil.Process]:
        """The processes of a unit, as this machine numbers them."""
        group = f"/{unit}\n"
        found = []
        for process in psutil.Process(self._first()).children(recursive=True):
            with suppress(OSError):
                if Path(f"/proc/{process.pid}/cgroup").read_text().endswith(group):
                    found.append(process)
        return found

    def _first(self) -> int:
        """The process that is the first one there. Raises OSError if it has not started."""
        if self._process is None:
            raise OSError("systemd is not running")
        try:
            children = psutil.Process(self._process.pid).children()
        except psutil.NoSuchProcess:
            children = []
        if not children or children[0].name() != "systemd":
            raise OSError("systemd has not started")
        return int(children[0].pid)


def _can_mount(folder: Path) -> bool:
    """Whether this machine has what the tests' systemd needs of its kernel."""
    check = ["unshare", *_NAMESPACES, "--fork", sys.executable, systemd_init.__file__, "--check", str(folder)]
    done = subprocess.run(check, capture_output=True, timeout=60, check=False)
    if done.returncode == 0:
        systemd_init.remove_group(folder)
    return done.returncode == 0
