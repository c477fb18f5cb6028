"""Logging of all processes: one line an event, with the request that it belongs to."""

from __future__ import annotations

import json
import logging
import random
import sys
import time
from contextvars import ContextVar
from typing import Any

from polytope_server.config.settings import LoggingSettings

#: The id of the request (or else of the HTTP call) that the current code works on.
request_id: ContextVar[str] = ContextVar("request_id", default="")

#: Libraries whose lines at lower levels hold addresses with credentials, or tell of every call.
_QUIET = ("urllib3", "asyncio", "requests")


def call_id() -> str:
    """A new id for an HTTP call, to find its lines by; it is no secret."""
    # PERF: not from the operating system, which each poll would have to ask.
    return f"{random.getrandbits(48):012x}"


class _Context(logging.Filter):
    """Puts the current request's id on each record."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = request_id.get()
        return True


class JSONFormatter(logging.Formatter):
    """A JSON object a line: time (UTC), level, process, logger, message, request_id, and the defaults."""

    def __init__(self, process: str, defaults: dict[str, Any]) -> None:
        super().__init__()
        self._fixed = {**defaults, "process": process}

    def format(self, record: logging.LogRecord) -> str:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {
            "asctime": f"{stamp}.{int(record.msecs):03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **self._fixed,
        }
        if identity := getattr(record, "request_id", ""):
            line["request_id"] = identity
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class TextFormatter(logging.Formatter):
    """Lines for people."""

    def __init__(self, process: str) -> None:
        super().__init__(f"%(asctime)s {process:<17} %(levelname)-7s %(message)s%(suffix)s", "%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        identity = getattr(record, "request_id", "")
        record.suffix = f"  [{identity}]" if identity else ""
        return super().format(record)


def configure(settings: LoggingSettings, process: str) -> None:
    """Send the log of this process to standard error, as the configuration says."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_Context())
    if settings.mode in ("json", "logserver"):
        handler.setFormatter(JSONFormatter(process, settings.defaults))
    else:
        handler.setFormatter(TextFormatter(process))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
