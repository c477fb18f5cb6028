"""What becomes systemd: it is run by `unshare` in new namespaces, lays out their files, and executes it."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

_CLONE_NEWCGROUP = 0x02000000
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_UNITS = "etc/systemd/system"
#: Units that others ask for, without anything that a whole machine does there.
_TARGETS = (
    *("basic", "multi-user", "network", "network-online", "shutdown", "sockets", "sysinit", "tests"),
    *("timers", "umount"),
)


@dataclass(frozen=True)
class Plan:
    """What is there beside the files of this machine."""

    #: Texts by path.
    files: dict[str, str]
    #: Files and folders of this machine by the path that they have besides.
    installed: dict[str, str]

    def write(self, folder: Path) -> None:
        """Keep it for :func:`main`."""
        (folder / "plan.json").write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, folder: Path) -> Plan:
        """What was kept."""
        return cls(**json.loads((folder / "plan.json").read_text()))


def main(arguments: list[str]) -> None:
    """`FOLDER`, or `--check FOLDER` to find out only whether this can work."""
    folder = Path(arguments[-1])
    os.umask(0o022)
    _enter_group(folder)
    root = _lay_out(folder)
    if arguments[0] == "--check":
        return
    _add_files(root, Plan.read(folder))
    os.chroot(root)
    os.chdir("/")
    # None but the units of the tests: those of a system would change settings of the kernel and devices.
    environment = {"container": "tests", "PATH": os.environ["PATH"], "SYSTEMD_UNIT_PATH": f"/{_UNITS}"}
    program = "/lib/systemd/systemd"
    options = ["--system", "--unit=tests.target", "--log-target=console", "--show-status=no"]
    os.execve(program, [program, *options], environment)


def remove_group(folder: Path) -> None:
    """Remove the control groups of a systemd that has ended."""
    script = [sys.executable, __file__, "--remove", str(folder)]
    subprocess.run(["unshare", "--mount", *script], check=True, capture_output=True, timeout=60)


def _group(folder: Path) -> str:
    # The whole path: others run tests on this machine, too.
    return f"polytope-tests{str(folder).replace('/', '-')}"


def _mount(kind: str, target: Path, *options: str) -> None:
    target.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", kind, *options, kind, str(target)], check=True)


def _bind(source: Path, target: Path, options: str = "bind") -> None:
    subprocess.run(["mount", "-o", options, str(source), str(target)], check=True)


def _enter_group(folder: Path) -> None:
    """Become the root of a hierarchy of control groups, so that those of the machine stay as they are."""
    with tempfile.TemporaryDirectory() as where:
        _mount("cgroup2", Path(where))
        group = Path(where) / _group(folder)
        group.mkdir(exist_ok=True)
        (group / "cgroup.procs").write_text("0")
        subprocess.run(["umount", where], check=True)
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWCGROUP):
        raise OSError(ctypes.get_errno(), "unshare")


def _leave_groups(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as where:
        _mount("cgroup2", Path(where))
        top = Path(where) / _group(folder)
        for group in sorted((path for path in top.rglob("*") if path.is_dir()), reverse=True):
            group.rmdir()
        with suppress(FileNotFoundError):
            top.rmdir()
        subprocess.run(["umount", where], check=True)


def _lay_out(folder: Path) -> Path:
    """A root with the files of this machine, where what is written goes to memory; returns its path."""
    base = folder / "overlay"
    _mount("tmpfs", base, "-o", "mode=755")
    upper, work, root = base / "upper", base / "work", base / "root"
    for part in (upper, work, root):
        part.mkdir()
    _mount("overlay", root, "-o", f"lowerdir=/,upperdir={upper},workdir={work}")
    _mount("proc", root / "proc")
    # Settings of the kernel are those of the machine.
    _bind(root / "proc/sys", root / "proc/sys")
    _bind(root / "proc/sys", root / "proc/sys", "remount,bind,ro")
    _mount("sysfs", root / "sys", "-o", "ro")
    _mount("cgroup2", root / "sys/fs/cgroup")
    _mount("tmpfs", root / "run", "-o", "mode=755")
    _mount("tmpfs", root / "tmp", "-o", "mode=1777")
    _mount("tmpfs", root / "dev", "-o", "mode=755,exec")
    for name in _DEVICES:
        (root / "dev" / name).touch()
        _bind(Path("/dev") / name, root / "dev" / name)
    _mount("tmpfs", root / "dev/shm", "-o", "mode=1777")
    _mount("devpts", root / "dev/pts", "-o", "newinstance,ptmxmode=0666")
    (root / "dev/ptmx").symlink_to("pts/ptmx")
    (root / "dev/fd").symlink_to("/proc/self/fd")
    return root


def _add_files(root: Path, plan: Plan) -> None:
    units = root / _UNITS
    subprocess.run(["rm", "-rf", str(units)], check=True)
    units.mkdir(parents=True)
    for name in _TARGETS:
        (units / f"{name}.target").write_text(f"[Unit]\nDescription={name}\nDefaultDependencies=no\n")
    for path, source in plan.installed.items():
        target = root / path.lstrip("/")
        if Path(source).is_dir():
            target.mkdir(parents=True, exist_ok=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.touch()
        _bind(Path(source), target)
    for path, text in plan.files.items():
        file = root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(0o755 if text.startswith("#!") else 0o644)


if __name__ == "__main__":
    if sys.argv[1] == "--remove":
        _leave_groups(Path(sys.argv[-1]))
    else:
        main(sys.argv[1:])
