"""Logging of all processes: one line for each event, with the request that it belongs to, without secrets.

Everything that is written passes :mod:`polytope_server.redaction`, including lines of libraries, unhandled
exceptions and warnings of Python. The length of a line is bounded, and no text of a caller can begin a line
of its own.
"""

from __future__ import annotations

import json
import logging
import random
import re
import sys
import threading
import time
from contextvars import ContextVar
from types import TracebackType
from typing import Any

from polytope_server.redaction import redactor
from polytope_server.settings.root import LoggingSettings
from polytope_server.texts import shortened

logger = logging.getLogger(__name__)

#: The id of the request that the current code works on.
request_id: ContextVar[str] = ContextVar("request_id", default="")
#: The id of the HTTP call that the current code answers; its caller has it in the header X-Request-Id.
call_id: ContextVar[str] = ContextVar("call_id", default="")

#: Libraries whose lines at lower levels contain addresses with credentials, or report every call.
_QUIET = ("urllib3", "asyncio", "requests")

#: Characters of a message, an exception or a stack that are written; of longer ones the middle is left out.
_LONGEST = 16 << 10
#: Characters of the id of a request: those that this server makes have 36.
_LONGEST_ID = 100
#: What ends a line or directs a terminal: control characters, and what some programs take for an end.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


#: An id of a call that a caller, or a proxy before this server, may choose: a UUID, a trace id, nginx's own.
_SAFE_ID = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._:=-]{0,99}")


def make_call_id() -> str:
    """A new id for an HTTP call, to find its lines by; it is no secret."""
    # PERF: not from the operating system, which each poll would have to ask.
    return f"{random.getrandbits(48):012x}"


def begin_call(given: bytes | None) -> str:
    """The id of an HTTP call that begins, for all lines about it: `given` if that is safe, else a new one."""
    identity = given.decode() if given is not None and _SAFE_ID.fullmatch(given) else ""
    # What looks like a secret would be `***` in the log.
    if not identity or redactor.redact(identity) != identity:
        identity = make_call_id()
    call_id.set(identity)
    request_id.set("")
    return identity


class _Context(logging.Filter):
    """Puts the ids of the current request and of the current call on each record."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = request_id.get()
        record.call_id = call_id.get()
        return True


def _fit(text: str, longest: int = _LONGEST) -> str:
    """The text without secrets, and without its middle if it is too long."""
    # Redaction comes first: half of a secret would not be recognised.
    return shortened(redactor.redact(text), longest)


def _one_line(text: str) -> str:
    """The text with control characters written as Python writes them."""
    return _CONTROL.sub(lambda found: repr(found[0])[1:-1], text)


class JSONFormatter(logging.Formatter):
    """A JSON object a line: time (UTC), level, process, logger, message, the ids, and the defaults."""

    def __init__(self, process: str, defaults: dict[str, Any]) -> None:
        super().__init__()
        self._fixed = {**defaults, "process": process}

    def format(self, record: logging.LogRecord) -> str:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {
            "asctime": f"{stamp}.{int(record.msecs):03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": _fit(record.getMessage()),
            **self._fixed,
        }
        for name in ("request_id", "call_id"):
            if identity := getattr(record, name, ""):
                line[name] = _fit(identity, _LONGEST_ID)
        if record.exc_info:
            line["exception"] = _fit(self.formatException(record.exc_info))
        if record.stack_info:
            line["stack"] = _fit(record.stack_info)
        return json.dumps(line, default=str)


class TextFormatter(logging.Formatter):
    """Lines for people. Those of an exception or a stack are indented, so that none looks like an event."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        stamp = time.strftime("%H:%M:%S", time.localtime(record.created))
        message = _one_line(_fit(record.getMessage()))
        line = f"{stamp} {self._process:<17} {record.levelname:<7} {message}"
        if identity := getattr(record, "request_id", ""):
            line += f"  [{_one_line(_fit(identity, _LONGEST_ID))}]"
        if identity := getattr(record, "call_id", ""):
            line += f"  [call {_one_line(_fit(identity, _LONGEST_ID))}]"
        lines = [line]
        if record.exc_info:
            lines += _fit(self.formatException(record.exc_info)).split("\n")
        if record.stack_info:
            lines += _fit(record.stack_info).split("\n")
        return "\n    ".join(map(_one_line, lines))


class _Handler(logging.StreamHandler[Any]):
    """To standard error."""

    def __init__(self, formatter: logging.Formatter, level: int = logging.NOTSET) -> None:
        super().__init__(sys.stderr)
        self.setLevel(level)
        self.addFilter(_Context())
        self.setFormatter(formatter)

    def format(self, record: logging.LogRecord) -> str:
        try:
            return super().format(record)
        except Exception as error:
            # The place without the arguments, which Python would print: they may hold secrets.
            text = "this line of the log cannot be made: %s"
            place = record.name, logging.ERROR, record.pathname, record.lineno
            arguments = (f"{type(error).__name__} at {record.pathname}:{record.lineno}",)
            return super().format(logging.LogRecord(*place, text, arguments, None))

    def handleError(self, record: logging.LogRecord) -> None:
        """Nothing: standard error is closed."""


def configure(settings: LoggingSettings, process: str) -> None:
    """Send the log of this process to standard error, as the configuration says."""
    formatter: logging.Formatter = TextFormatter(process)
    if settings.mode in ("json", "logserver"):
        formatter = JSONFormatter(process, settings.defaults)
    root = logging.getLogger()
    root.handlers[:] = [_Handler(formatter)]
    root.setLevel(settings.level.upper())
    # For loggers that a library has cut off from all others; uvicorn's are under gunicorn.
    logging.lastResort = _Handler(formatter, logging.WARNING)
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_of_thread
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        logger.critical("unhandled exception, exiting", exc_info=(kind, error, trace))


def _log_uncaught_of_thread(hook: threading.ExceptHookArgs) -> None:
    if hook.exc_value is not None:
        logger.critical("unhandled exception in a thread", exc_info=hook.exc_value)
