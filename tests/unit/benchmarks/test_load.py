import json

import pytest

from benchmarks import load

REPLY = b"HTTP/1.1 202 Accepted\r\nLocation: ./id-1\r\nContent-Length: 5\r\n\r\nhello"


class TestParse:
    def test_a_whole_reply_is_taken_apart(self) -> None:
        reply, rest = load.parse(REPLY)
        assert reply is not None
        assert (reply.status, reply.body, rest) == (202, b"hello", b"")
        assert reply.header(b"location") == b"./id-1"

    @pytest.mark.parametrize("length", [0, 10, REPLY.index(b"hello"), len(REPLY) - 1])
    def test_a_part_of_a_reply_waits_for_the_rest(self, length: int) -> None:
        assert load.parse(REPLY[:length]) == (None, REPLY[:length])

    def test_what_follows_a_reply_is_kept(self) -> None:
        reply, rest = load.parse(REPLY + b"HTTP/1.1 200")
        assert reply is not None
        assert reply.body == b"hello"
        assert rest == b"HTTP/1.1 200"

    def test_a_reply_without_a_length_has_no_body(self) -> None:
        reply, _ = load.parse(b"HTTP/1.1 204 No Content\r\n\r\n")
        assert reply == load.Reply(204, b"HTTP/1.1 204 No Content", b"")

    def test_a_reply_in_chunks_ends_with_the_last_one(self) -> None:
        whole = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
        assert load.parse(whole[:-1])[0] is None
        reply, rest = load.parse(whole + b"HTTP/1.1 200")
        assert reply is not None
        assert rest == b"HTTP/1.1 200"


class TestReply:
    def test_a_missing_header_is_empty(self) -> None:
        assert load.Reply(200, b"HTTP/1.1 200 OK\r\nx-length: 3", b"").header(b"length") == b""

    def test_an_unexpected_status_is_an_error_with_the_body(self) -> None:
        with pytest.raises(load.LoadError, match="HTTP 500 instead of 200: b'broken'"):
            load.check(load.Reply(500, b"", b"broken"), 200)


class TestMessage:
    def test_a_body_comes_as_json_with_its_length(self) -> None:
        head, _, body = load.message("POST", "/x", {"A": "b"}, {"c": 1}).partition(b"\r\n\r\n")
        assert json.loads(body) == {"c": 1}
        lines = head.split(b"\r\n")
        assert lines[0] == b"POST /x HTTP/1.1"
        assert {b"A: b", f"Content-Length: {len(body)}".encode()} <= set(lines)

    def test_without_a_body_there_is_no_length(self) -> None:
        assert b"Content-Length" not in load.message("GET", "/x")


class TestRound:
    def test_it_ends_after_the_most_requests(self) -> None:
        round_ = load.Round(60.0, most=2)
        round_.start()
        assert [round_.more() for _ in range(3)] == [True, True, False]

    def test_it_ends_after_its_time(self) -> None:
        round_ = load.Round(0.0)
        round_.start()
        assert not round_.more()


class TestSessions:
    def test_each_takes_the_requests_in_turn(self) -> None:
        round_ = load.Round(60.0, most=3)
        round_.start()
        session = load.each(round_, [b"one", b"two"])
        reply = load.Reply(200, b"", b"")
        assert [next(session), session.send(reply), session.send(reply)] == [b"one", b"two", b"one"]
        with pytest.raises(StopIteration):
            session.send(reply)
        assert round_.count == 3
