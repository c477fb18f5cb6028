"""Which parts of an object a header Range asks for, and how several are sent."""

from __future__ import annotations

import tracemalloc
from collections.abc import AsyncIterator

import pytest

from polytope_server.http.ranges import MultipartBody, Part, parse_ranges

SIZE = 1000


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-99,200-299", [(0, 100), (200, 100)]),
        ("bytes=200-299, 0-99", [(200, 100), (0, 100)]),
        ("BYTES=0-0 ,\t-1", [(0, 1), (999, 1)]),
        ("bytes=,0-1,,5-5,", [(0, 2), (5, 1)]),
        ("bytes=900-, 0-1", [(900, 100), (0, 2)]),
        ("bytes=0-1,5000-6000", [(0, 2)]),
        ("bytes=5000-,6000-", []),
        ("bytes=-0", []),
        ("bytes=0-499,500-999", [(0, 500), (500, 500)]),
        ("bytes=0-99,50-149", [(0, 100), (50, 100)]),
    ],
)
def test_parts_come_in_the_order_of_the_header(header: str, expected: list[tuple[int, int]]) -> None:
    assert parse_ranges(header, SIZE) == expected


@pytest.mark.parametrize(
    "header",
    ["", "bytes", "bytes=", "bytes=,", "bytes=-", "bytes=0-1,-", "bytes=0-1,5-4", "bytes=0-1;5-6",
     "lines=0-1", "bytes=0-1,x", "bytes = 0-1", "bytes=+0-1", "bytes=0--1", "bytes=0-1000000000000000000",
     "bytes=\u0660-1"],
)  # fmt: skip
def test_a_list_with_something_that_is_no_range_is_ignored(header: str) -> None:
    assert parse_ranges(header, SIZE) is None


@pytest.mark.parametrize("header", ["bytes=0-,0-", "bytes=0-999,0-0", "bytes=" + ",".join(["0-99"] * 11)])
def test_no_more_is_sent_than_the_whole_object(header: str) -> None:
    assert parse_ranges(header, SIZE) is None


def test_the_number_of_parts_is_bounded() -> None:
    def ranges(number: int) -> str:
        return "bytes=" + ",".join(f"{start}-{start}" for start in range(number))

    assert len(parse_ranges(ranges(1024), 10_000) or []) == 1024
    assert parse_ranges(ranges(1025), 10_000) is None


async def zeros(start: int, length: int) -> AsyncIterator[bytes]:
    for _ in range(length >> 10):
        yield bytes(1024)


async def test_parts_are_sent_as_they_are_read() -> None:
    body = MultipartBody([Part(0, 8 << 20), Part(0, 8 << 20)], 1 << 30, "application/x-grib")
    tracemalloc.start()
    sent = 0
    async for chunk in body.chunks(zeros):
        sent += len(chunk)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sent == body.length
    assert most < 1 << 20
