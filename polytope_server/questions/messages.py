"""Messages between those who ask and those who answer, as texts of notices.

A notice takes a short text, so a message is cut into pieces, which its receiver joins. If one is lost, so is
the message.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum

from cachetools import TTLCache

from polytope_server.caching import JSON
from polytope_server.notices import LONGEST_TEXT
from polytope_server.questions import LARGEST

EVERYONE = "*"
"""In place of the name of one receiver."""

#: Names and ids have 16 characters, kinds and numbers fewer.
_HEADER = 80
_PIECE = LONGEST_TEXT - _HEADER
#: What stands around a question or an answer of the largest size.
_ENVELOPE = 200
_MOST_PIECES = -(-(LARGEST + _ENVELOPE) // _PIECE)
#: Messages of which some pieces have come, and the seconds for which they are kept.
_INCOMPLETE, _PATIENCE = 64, 10.0


class MessageKind(StrEnum):
    """What a message says."""

    WHO = "who"  #: to all workers: is any of you there?
    CALL = "call"  #: to all workers: who can answer a question about this data source?
    OFFER = "offer"  #: to a frontend: this worker can; or it is there
    QUESTION = "question"  #: to one worker
    ANSWER = "answer"  #: to a frontend


@dataclass(frozen=True, slots=True)
class Message:
    """One message; `question` is the id of the question that it is about."""

    kind: MessageKind
    to: str
    sender: str
    question: str = "-"
    body: JSON = None


class TooLargeError(Exception):
    """A message is larger than any receiver would read."""


def pieces(message: Message) -> list[str]:
    """The texts that make up a message. Raises TooLargeError."""
    body = json.dumps(message.body, separators=(",", ":"))
    parts = [body[start : start + _PIECE] for start in range(0, len(body), _PIECE)]
    if len(parts) > _MOST_PIECES:
        raise TooLargeError(f"{len(body)} characters")
    head = f"{message.to} {message.sender} {message.question} {message.kind}"
    return [f"{head} {number}/{len(parts)} {part}" for number, part in enumerate(parts)]


class Inbox:
    """Joins the pieces of messages to one receiver, or to everyone."""

    def __init__(self, name: str) -> None:
        self._mine = (f"{name} ", f"{EVERYONE} ")
        self._incomplete: TTLCache[tuple[str, str, str], dict[int, str]] = TTLCache(_INCOMPLETE, _PATIENCE)

    def __len__(self) -> int:
        """How many messages it keeps of which pieces are missing."""
        return len(self._incomplete)

    def add(self, text: str) -> Message | None:
        """The message that this piece completes; None if it completes none, or is for another receiver."""
        if not text.startswith(self._mine):
            return None
        try:
            return self._join(text)
        except (ValueError, KeyError, RecursionError):  # of another program, or of a later version
            return None

    def _join(self, text: str) -> Message | None:
        to, sender, question, kind, place, part = text.split(" ", 5)
        number, count = map(int, place.split("/"))
        if not 0 <= number < count <= _MOST_PIECES:
            raise ValueError(place)
        key = (sender, question, kind)
        parts = self._incomplete.pop(key, {})
        parts[number] = part
        if len(parts) < count:
            self._incomplete[key] = parts
            return None
        body: JSON = json.loads("".join(parts[number] for number in range(count)))
        return Message(MessageKind(kind), to, sender, question, body)
