"""What the kernel knows of a TCP connection."""

from __future__ import annotations

import socket
import struct
import sys

#: Offset of tcpi_bytes_acked in `struct tcp_info` of Linux (include/uapi/linux/tcp.h), and its size.
_BYTES_ACKED, _TCP_INFO_SIZE = 120, 128


def acknowledged(connection: socket.socket) -> int:
    """The bytes that the system of the peer has taken so far; 0 if the system here does not know."""
    if sys.platform != "linux":  # pragma: no cover -- the tests run on Linux
        return 0
    # What the kernel here has taken shows little: it holds megabytes, and asks for more in large steps.
    try:
        known = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_SIZE)
        found: int = struct.unpack_from("Q", known, _BYTES_ACKED)[0]
    except (OSError, struct.error):  # some imitations of Linux know less
        return 0
    return found
