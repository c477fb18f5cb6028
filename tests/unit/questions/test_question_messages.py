"""Messages are cut into texts that notices take, and joined again, whatever comes in between."""

from __future__ import annotations

import pytest

from polytope_server.notices import LONGEST_TEXT
from polytope_server.questions import LARGEST
from polytope_server.questions.messages import EVERYONE, Inbox, Message, MessageKind, TooLargeError, pieces

NAME, SENDER = "0123456789abcdef", "fedcba9876543210"


def message(body: object, to: str = NAME, sender: str = SENDER) -> Message:
    return Message(MessageKind.QUESTION, to, sender, "aaaabbbbccccdddd", body)  # type: ignore[arg-type]


@pytest.mark.parametrize("body", [None, "", "a b\nc", {"é": ["\x00", " ", 1.5, None]}, "x" * 100_000])
def test_a_message_arrives_as_it_was(body: object) -> None:
    texts, inbox = pieces(message(body)), Inbox(NAME)
    assert all(len(text) <= LONGEST_TEXT and text.isascii() and text.isprintable() for text in texts)
    assert [inbox.add(text) for text in texts] == [None] * (len(texts) - 1) + [message(body)]


def test_the_largest_question_is_sent_and_no_larger_one() -> None:
    body = {"seconds": 0.123456789012345678, "question": "x" * (LARGEST - 2)}
    texts, inbox = pieces(message(body)), Inbox(NAME)
    assert [inbox.add(text) for text in texts][-1] == message(body)
    with pytest.raises(TooLargeError):
        pieces(message("x" * (LARGEST + LONGEST_TEXT)))


def test_messages_of_several_senders_and_out_of_order_are_joined() -> None:
    inbox = Inbox(NAME)
    one, two = message("1" * 10_000), message("2" * 10_000, sender="another")
    mixed = [text for pair in zip(reversed(pieces(one)), pieces(two), strict=True) for text in pair]
    assert [found for text in mixed if (found := inbox.add(text))] == [one, two]


def test_what_is_for_others_is_not_read() -> None:
    inbox = Inbox(NAME)
    assert [inbox.add(text) for text in pieces(message("x", to="another"))] == [None]
    assert [inbox.add(text) for text in pieces(message("x", to=EVERYONE))] == [message("x", to=EVERYONE)]


@pytest.mark.parametrize(
    "rest",
    ["", "q question", "q question 0/1 {", "q question 5/1 1", "q question x/1 1", "q question 0/1000000 1",
     "q unknown 0/1 1", "q question 0/1 " + "[" * 3000],
)  # fmt: skip
def test_what_is_no_message_is_ignored(rest: str) -> None:
    assert Inbox(NAME).add(f"{NAME} {SENDER} {rest}") is None


def test_pieces_of_messages_that_never_end_are_bounded() -> None:
    inbox = Inbox(NAME)
    for number in range(1000):
        inbox.add(f"{NAME} {SENDER} {number} question 0/2 x")
    assert len(inbox) <= 64
