"""`polytope-server healthcheck`: whether the process of this container lives, for the image's HEALTHCHECK."""

from __future__ import annotations

import http.client
import os
import sys

from polytope_server.runtime.management import VARIABLE

#: Seconds.
_TIMEOUT = 3.0


def check() -> int:
    """The exit status: 0 if the management port of this machine answers, else 1 and a line that says why."""
    port = os.environ.get(VARIABLE, "").strip()
    if not (port.isascii() and port.isdigit() and 0 < int(port) <= 65535):
        return _report_failure(f"{VARIABLE} is {port!r}: expected the management port of this container")
    connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=_TIMEOUT)
    try:
        connection.request("GET", "/livez")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return _report_failure(f"port {port} does not answer: {error or type(error).__name__}")
    finally:
        connection.close()
    return 0 if status == 200 else _report_failure(f"port {port} answers with status {status}")


def _report_failure(why: str) -> int:
    print(why, file=sys.stderr)
    return 1
