"""The frames that a worker and its child processes exchange: a type, a length, and that many bytes.

The worker sends CONFIG once, then for each request a JOB and, for an archive, its input as DATA and END.
The child answers CONFIG with READY, and each JOB with SIZE (if it is known), START (media type), DATA and
END, or with FAILED (the user's message) or RETRY (a message, the attempt may be repeated) at any point; or
with EXHAUSTED, which is FAILED for want of memory, and ends. A child that is kept for questions gets a
QUESTION in place of a JOB, and sends an ANSWER, or one of the three.
"""

from __future__ import annotations

import struct
from enum import IntEnum

HEADER = struct.Struct("!BI")
#: The most data in one frame: larger chunks are split.
MAX_DATA = 1 << 20


class Frame(IntEnum):
    """What a frame holds."""

    CONFIG = 1  #: JSON: the data sources
    READY = 2
    JOB = 3  #: JSON: an assignment
    START = 4  #: the media type, UTF-8
    DATA = 5
    END = 6
    FAILED = 7  #: a message, UTF-8
    RETRY = 8  #: a message, UTF-8
    EXHAUSTED = 9  #: a message, UTF-8
    SIZE = 10  #: of the result, in bytes, as a decimal number
    QUESTION = 11  #: JSON: an inquiry
    ANSWER = 12  #: JSON: the answer
    NOTE = 13  #: a text for the user that stays, UTF-8
    WORN_OUT = 15  #: the process ends, and another one is to do the job
    PROGRESS = 14  #: a text for the user in place of the last one, UTF-8


def header(frame: Frame, size: int) -> bytes:
    """The bytes that announce a frame with `size` bytes."""
    return HEADER.pack(frame, size)
