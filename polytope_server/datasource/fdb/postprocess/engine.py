"""MIR in a child process: one message, or the two of a vector, in and out of memory."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from polytope_server.datasource import DataSourceError, TemporaryError

logger = logging.getLogger(__name__)

#: Bytes of what MIR writes to its log about one message, of which the end is kept for the operator.
_KEPT_LOG = 2000
#: How MIR and eckit begin their texts; what follows a line feed is for their developers.
_KIND = re.compile(r"(?:(?:Serious bug|UserError|Bad value|Bad parameter|Exception): )+")
#: Texts about nothing that a user could know.
_INTERNAL = re.compile(r"Assertion failed|.*::\w+\(\)|terminate|Not implemented$", re.DOTALL)
#: Errors about files can only be about MIR's own, as fields are in memory.
_OF_FILES = ("Failed system call", "Cannot open", "No such file", "Short file", "Read error", "Write error")
_LONGEST_REASON = 200


class _Output:
    """Takes what MIR writes: one call for each message."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []

    def write(self, data: Any) -> int:
        self.messages.append(bytes(data))
        return len(self.messages[-1])


class Engine:
    """Has MIR work on messages; what it logs goes nowhere, unless it fails."""

    def __init__(self, name: str, clear: Callable[[], None]) -> None:
        """`name` is that of the data source; `clear` removes the files that MIR keeps."""
        import mir

        self._name = name
        self._clear = clear
        self._mir = mir

    def apply(self, options: Mapping[str, str], label: str, message: bytearray) -> list[bytes]:
        """What MIR makes of one message; `label` says to users what it is.

        Raises DataSourceError, TemporaryError, and MemoryError where MIR runs out of memory.
        """
        return self._execute(options, label, lambda: self._mir.GribMemoryInput(message))

    def apply_to_pair(
        self, options: Mapping[str, str], label: str, first: bytearray, second: bytearray
    ) -> list[bytes]:
        """What MIR makes of the two components of a vector; errors are those of :meth:`apply`."""
        # A file in memory: MIR reads several fields at once from files only.
        descriptor = os.memfd_create("pair")
        try:
            with open(descriptor, "wb", closefd=False) as file:
                file.writelines((first, second))
            path = f"/proc/self/fd/{descriptor}".encode()
            return self._execute(options, label, lambda: self._mir.MultiDimensionalGribFileInput(path, 2))
        finally:
            os.close(descriptor)

    def _execute(self, options: Mapping[str, str], label: str, make_input: Callable[[], Any]) -> list[bytes]:
        # A file may be gone, as another process has trimmed them; then it is made again. Or it is damaged.
        for remedy in (_do_nothing, self._clear, None):
            output, log = _Output(), bytearray()
            try:
                with _captured(log):
                    self._mir.Job(**options).execute(make_input(), output)
                return output.messages
            except RuntimeError as error:
                text = str(error)
            said = bytes(log).decode(errors="replace")
            logger.error(
                "data source %s: MIR with %s: %s; it said: %s", self._name, dict(options), text, said
            )
            if not any(sign in text for sign in _OF_FILES):
                raise DataSourceError(_describe(options, label, text))
            if remedy is not None:
                remedy()
        raise TemporaryError(f"{self._name} cannot interpolate at the moment.")


def _describe(options: Mapping[str, str], label: str, text: str) -> str:
    """The sentence for an error of MIR, with its reason if users can understand that."""
    reason = _KIND.sub("", text.partition("\n")[0])[:_LONGEST_REASON]
    wanted = ", ".join(f"{key}={value}" for key, value in options.items())
    what = f"{label} cannot be brought to {wanted}"
    return what if _INTERNAL.match(reason) else f"{what}: {reason}"


def _do_nothing() -> None:
    pass


@contextmanager
def _captured(log: bytearray) -> Iterator[None]:
    """Have what native code writes to standard output and error in `log`, and not where the server's goes.

    No other thread may write at the same time: in a child of a worker there is none.
    """
    saved = os.dup(1), os.dup(2)
    into = os.memfd_create("log")
    try:
        os.dup2(into, 1)
        os.dup2(into, 2)
        yield
    finally:
        os.dup2(saved[0], 1)
        os.dup2(saved[1], 2)
        with suppress(OSError):
            end = os.lseek(into, 0, os.SEEK_END)
            log += os.pread(into, _KEPT_LOG, max(0, end - _KEPT_LOG))
        for descriptor in (*saved, into):
            os.close(descriptor)
