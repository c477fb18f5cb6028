import pytest

from polytope_server.queue import Message
from polytope_server.queue.rabbitmq.queues import Queues, decode, encode


def test_a_message_survives_the_wire() -> None:
    for request_id in ("a", 'é "\\', ""):
        assert decode(encode(Message(request_id, "slow")), "slow") == Message(request_id, "slow")


def test_a_message_is_that_of_earlier_servers() -> None:
    assert encode(Message("a")) == b'{"id": "a"}'
    assert decode(b'{"id": "a", "more": 1}', "default") == Message("a")


@pytest.mark.parametrize(
    "body", [b"", b"a", b"[]", b"1", b'"id"', b"{}", b'{"id": null}', b"\xff", b"[" * 10**5]
)
def test_what_is_no_message_is_none(body: bytes) -> None:
    assert decode(body, "default") is None


def test_the_default_queue_has_the_name_itself() -> None:
    queues = Queues("polytope")
    assert queues.named("default") == "polytope"
    assert queues.named("slow") == "polytope.slow"
    assert queues.dead_letters != queues.named("dead")
