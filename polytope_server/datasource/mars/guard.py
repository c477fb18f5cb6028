"""Runs a program, and ends it with all that it has started. A program of its own, without other packages.

    python -I guard.py CONNECTION FOLDER COMMAND [ARGUMENT ...]

A data source's process may be killed at any moment, and so may the program, whose own children would live on.
This process stays out of both: it has a session of its own, adopts what the program leaves behind
(PR_SET_CHILD_SUBREAPER), and ends it. CONNECTION is the file descriptor of a socket to the data source. It
reports there, in one line each: `started PID`, then `ended STATUS` (negative: a signal), when the program and
all of its descendants have ended; or `failed ERRNO`. As soon as the data source closes the socket, or ends,
the program is ended. Then FOLDER is removed.
"""

import ctypes
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
#: Seconds that the program has to end by itself after SIGTERM.
_GRACE = 2.0
#: Seconds after which a process that SIGKILL does not end (it hangs in the kernel) is given up.
_PATIENCE = 10.0
_PAUSE = 0.05


def main(arguments: list[str]) -> None:
    """Run the program, until all that belongs to it has ended."""
    connection = socket.socket(fileno=int(arguments[0]))
    folder, command = arguments[1], arguments[2:]
    ignore_signals()
    wake = watch_children()
    control = find_prctl()
    control(_PR_SET_CHILD_SUBREAPER, 1)
    # It is kept: one that is not referred to any more waits for its process, whose status would be lost here.
    program = start(command, control, connection)
    if program is not None:
        pid = program.pid
        status = wait(pid, connection, wake)
        if status is None:
            status = terminate(pid, wake)
        end_descendants(pid, wake)
        report(connection, f"ended {status}")
    while receive(connection):
        pass
    shutil.rmtree(folder, ignore_errors=True)


def ignore_signals() -> None:
    """Leave it to the data source when this process ends. The program does not inherit that."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)


def watch_children() -> int:
    """A file descriptor that can be read when a child has ended."""
    ours, theirs = os.pipe()
    for end in (ours, theirs):
        os.set_blocking(end, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(theirs, warn_on_full_buffer=False)
    return ours


def find_prctl() -> Callable[[int, int], object]:
    """The system call of that name, as far as this system has it."""
    if sys.platform != "linux":
        return lambda option, value: None
    library = ctypes.CDLL(None)
    return lambda option, value: library.prctl(option, value, 0, 0, 0)


def start(
    command: list[str], control: Callable[[int, int], object], connection: socket.socket
) -> subprocess.Popen[bytes] | None:
    """Start the program in a session of its own, and report it."""
    guard = os.getpid()

    def die_with_guard() -> None:
        control(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != guard:
            os._exit(1)

    try:
        program = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=die_with_guard
        )
    except OSError as error:
        report(connection, f"failed {error.errno}")
        return None
    report(connection, f"started {program.pid}")
    return program


def report(connection: socket.socket, text: str) -> None:
    """Send a line to the data source, if it is still there."""
    try:
        connection.sendall(f"{text}\n".encode())
    except OSError:
        pass


def wait(pid: int, connection: socket.socket, wake: int) -> int | None:
    """Wait for the end of the program; returns its status, None if it is to be ended."""
    while True:
        ready = poll(None, connection.fileno(), wake)
        if (status := reap(wake).get(pid)) is not None:
            return status
        if connection.fileno() in ready and not receive(connection):
            return None


def poll(seconds: float | None, *files: int) -> list[int]:
    """The files that can be read, after that time at the latest. select() knows the first 1024 only."""
    looked_at = select.poll()
    for number in files:
        looked_at.register(number, select.POLLIN)
    return [number for number, _ in looked_at.poll(None if seconds is None else seconds * 1000)]


def receive(connection: socket.socket) -> bytes:
    """What the data source has sent; nothing if it has ended."""
    try:
        return connection.recv(64)
    except ConnectionError:
        return b""


def reap(wake: int) -> dict[int, int]:
    """The status of each child that has ended."""
    try:
        while os.read(wake, 4096):
            pass
    except BlockingIOError:
        pass
    return dict(ended())


def ended() -> Iterator[tuple[int, int]]:
    """Each child that has ended, and its status."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        yield pid, os.waitstatus_to_exitcode(status)


def terminate(pid: int, wake: int) -> int:
    """End the program, in good order if it can; returns its status."""
    signal_group(pid, signal.SIGTERM)
    deadline = time.monotonic() + _GRACE
    while (left := deadline - time.monotonic()) > 0:
        poll(left, wake)
        if (status := reap(wake).get(pid)) is not None:
            return status
    signal_group(pid, signal.SIGKILL)
    return -signal.SIGKILL


def signal_group(pid: int, number: int) -> None:
    """Send a signal to the process group of the program, which has not been waited for yet."""
    try:
        os.killpg(pid, number)
    except OSError:
        pass


def end_descendants(pid: int, wake: int) -> None:
    """End what the program has started: as their parents end they become children of this process."""
    deadline = time.monotonic() + _PATIENCE
    while (left := find_children(os.getpid())) and time.monotonic() < deadline:
        for child in left:
            try:
                os.kill(child, signal.SIGKILL)
            except OSError:
                pass
        poll(_PAUSE, wake)
        reap(wake)
    if sys.platform != "linux":
        signal_group(pid, signal.SIGKILL)


def find_children(parent: int) -> list[int]:
    """The processes whose parent that is, those that have ended and were not waited for included."""
    found = []
    for name in os.listdir("/proc") if sys.platform == "linux" else ():
        if name.isdecimal():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    # After the name of the program, in brackets, follow its state and its parent.
                    fields = file.read().rpartition(b")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == parent:
                found.append(int(name))
    return found


if __name__ == "__main__":
    main(sys.argv[1:])
