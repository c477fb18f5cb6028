"""Streams of GRIB and BUFR messages, looked at as they pass."""

from __future__ import annotations

import random
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polytope_server.datasource.messages import DamagedError, Follower


def grib_2(size: int = 40) -> bytes:
    return b"GRIB\0\0\0\x02" + size.to_bytes(8, "big") + bytes(size - 20) + b"7777"


def grib_1(size: int = 40) -> bytes:
    return b"GRIB" + size.to_bytes(3, "big") + b"\x01" + bytes(size - 12) + b"7777"


def long_grib_1(size: int, flags: int = 0xC0) -> bytes:
    """As ECMWF encodes edition 1 messages that are too long for three octets."""
    units = -(-(size - 4) // 120)
    start = b"GRIB" + (0x800000 | units).to_bytes(3, "big") + b"\x01"
    start += (28).to_bytes(3, "big") + bytes(4) + bytes([flags]) + bytes(20)
    start += ((32).to_bytes(3, "big") + bytes(29)) * bool(flags & 0x80)
    start += ((1000).to_bytes(3, "big") + bytes(997)) * bool(flags & 0x40)
    start += (units * 120 - (size - 4)).to_bytes(3, "big")
    return start + bytes(size - len(start) - 4) + b"7777"


def bufr(size: int = 40, edition: int = 4) -> bytes:
    return b"BUFR" + size.to_bytes(3, "big") + bytes([edition]) + bytes(size - 12) + b"7777"


def follow(data: bytes, step: int = 1 << 20) -> Follower:
    follower = Follower()
    for start in range(0, len(data), step):
        follower.feed(data[start : start + step])
    follower.end()
    return follower


@pytest.mark.parametrize(
    ("data", "kind", "count"),
    [
        (b"", None, 0),
        (grib_2() + grib_1() + grib_2(1000), b"GRIB", 3),
        (grib_1(100) + bytes(20) + grib_1(100) + bytes(3), b"GRIB", 2),
        (long_grib_1(8_400_004) + grib_2(), b"GRIB", 2),
        (long_grib_1(8_400_119, 0x80) + long_grib_1(8_400_000, 0), b"GRIB", 2),
        (bufr() + bufr(99), b"BUFR", 2),
        (bufr(edition=1) + b"whatever follows", b"BUFR", 0),
        (b"GRIB\0\0\0\x07" + bytes(60), b"GRIB", 0),
        (b"\x89HDF and so on", None, 0),
        (b"abc", None, 0),
    ],
)
def test_whole_messages_pass(data: bytes, kind: bytes | None, count: int) -> None:
    follower = follow(data)
    assert (follower.kind, follower.count) == (kind, count)


@given(st.lists(st.integers(20, 90), min_size=1, max_size=5), st.integers(1, 50))
def test_it_does_not_matter_how_the_stream_is_cut_into_chunks(sizes: list[int], step: int) -> None:
    data = b"".join(make(size) for size in sizes for make in (grib_1, grib_2))
    assert follow(data, step).count == 2 * len(sizes)


WHOLE = grib_2(60) + grib_1(50)


@pytest.mark.parametrize("length", [length for length in range(4, len(WHOLE)) if length != 60])
def test_a_stream_that_ends_within_a_message_is_damaged(length: int) -> None:
    with pytest.raises(DamagedError):
        follow(WHOLE[:length], 7)


def test_the_error_says_where() -> None:
    with pytest.raises(DamagedError, match=r"^the data end within message 2, at byte 100$"):
        follow(WHOLE[:100])


@pytest.mark.parametrize(
    ("data", "where"),
    [
        (grib_2() + b"no message", "no message begins at byte 40"),
        (grib_2()[:-4] + b"6666" + grib_2(), "message 1 does not end after its 40 bytes"),
        (grib_2() + grib_2()[:-1] + grib_2(), "message 2 does not end after its 40 bytes"),
        (b"GRIB\0\0\0\x02" + (9).to_bytes(8, "big") + bytes(60), "message 1 has wrong lengths"),
        (b"GRIB\x80\0\1\x01" + bytes(60), "message 1 has wrong lengths"),
    ],
)
def test_damage_within_a_stream_is_found(data: bytes, where: str) -> None:
    with pytest.raises(DamagedError, match=where):
        follow(data)


def test_next_to_nothing_is_kept_of_a_large_message() -> None:
    size = 64 << 20
    follower, chunk = Follower(), bytes(1 << 20)
    follower.feed(grib_2(40)[:8] + size.to_bytes(8, "big"))
    tracemalloc.start()
    try:
        for _ in range(63):
            follower.feed(chunk)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()
    follower.feed(bytes((1 << 20) - 20) + b"7777")
    follower.end()


@given(st.binary(max_size=200), st.randoms(use_true_random=False))
def test_no_input_breaks_it(rest: bytes, source: random.Random) -> None:
    start = source.choice([b"GRIB\0\0\0\x01", b"GRIB\x80\0\0\x01", b"GRIB\0\0\0\x02", b"BUFR\0\0\x20\x04"])
    try:
        follow(start + rest, source.randint(1, 20))
    except DamagedError:
        pass
