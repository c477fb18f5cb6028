"""Deletes a request at the Web API of ECMWF if its data source was killed. A program of its own.

    python -I deletion.py CONNECTION NAME

CONNECTION is the file descriptor of a socket to the data source NAME. A line of JSON has the credentials and
the address of its request, an empty mapping says that nothing is left to do. The server is imported only when
the socket is closed with something left to do.
"""

from __future__ import annotations

import json
import logging
import socket
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from polytope_server.datasource.webmars.api import WebAPI

#: Bytes of a line.
_LONGEST = 1 << 16


def main(arguments: list[str]) -> None:
    """Wait for the end of the data source, and do what it has left."""
    last: dict[str, Any] = {}
    with socket.socket(fileno=int(arguments[0])) as connection, connection.makefile("rb") as lines:
        try:
            while line := lines.readline(_LONGEST):
                last = json.loads(line)
        except (OSError, ValueError):
            pass
    if last:
        from polytope_server.datasource.webmars.api import WebAPI

        location = last.pop("location")
        delete(WebAPI(arguments[1], **last), location)


def delete(api: WebAPI, location: str) -> None:
    """Delete a request, if the service lets it; it is tried once."""
    try:
        answer = api.call_once("DELETE", location)
        reason = "" if answer.status < 400 else f"status {answer.status}"
    except Exception as error:
        reason = str(error)
    if reason:
        logging.getLogger(__name__).warning(
            "data source %s: %s is not deleted: %s", api.name, location, reason
        )


if __name__ == "__main__":
    main(sys.argv[1:])
