"""Splitting a stream into GRIB messages, and comparing them with a request."""

import tracemalloc

import eccodes
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polytope_server.datasource import DataSourceError
from polytope_server.datasource.fdb import grib

MOST = 20_000_000


def message_2(size=40):
    return b"GRIB\0\0\0\x02" + size.to_bytes(8, "big") + bytes(size - 20) + b"7777"


def message_1(size=40):
    return b"GRIB" + size.to_bytes(3, "big") + b"\x01" + bytes(size - 12) + b"7777"


def long_message_1(size, grid=True, bitmap=True):
    """As ECMWF encodes edition 1 messages that are too long for three octets."""
    flags = (0x80 if grid else 0) | (0x40 if bitmap else 0)
    body = (28).to_bytes(3, "big") + bytes(4) + bytes([flags]) + bytes(20)
    body += ((32).to_bytes(3, "big") + bytes(29)) * grid + ((6).to_bytes(3, "big") + bytes(3)) * bitmap
    # The length without the end section is rounded up to units of 120; section 4 says what that added.
    units = -(-(size - 4) // 120)
    start = b"GRIB" + (0x800000 | units).to_bytes(3, "big") + b"\x01"
    body = start + body + (units * 120 - (size - 4)).to_bytes(3, "big")
    return body + bytes(size - len(body) - 4) + b"7777"


MESSAGES = [message_2(), message_1(16), message_2(1000), long_message_1(9_000_001), message_1(300)]


@pytest.mark.parametrize("step", [1 << 20, 12345])
def test_messages_come_out_one_by_one_and_unchanged(step):
    data = b"".join(MESSAGES)
    chunks = (data[start : start + step] for start in range(0, len(data), step))
    assert list(grib.split(chunks, MOST)) == MESSAGES


@given(st.lists(st.integers(20, 90), max_size=5), st.integers(1, 50))
def test_chunks_of_any_size_make_the_same_messages(sizes, step):
    messages = [message_2(size) for size in sizes]
    data = b"".join(messages)
    assert list(grib.split((data[i : i + step] for i in range(0, len(data), step)), MOST)) == messages


@pytest.mark.parametrize("grid", [True, False])
@pytest.mark.parametrize("bitmap", [True, False])
@pytest.mark.parametrize("size", [8_400_000, 8_400_004, 8_400_119])
def test_long_messages_of_edition_1(size, grid, bitmap):
    message = long_message_1(size, grid, bitmap)
    assert list(grib.split([message, message], MOST)) == [message, message]


def test_eccodes_agrees_on_the_length_of_a_long_message(tmp_path):
    handle = eccodes.codes_grib_new_from_samples("regular_ll_pl_grib1")
    for key, value in {"Ni": 3000, "Nj": 1500, "bitsPerValue": 16}.items():
        eccodes.codes_set(handle, key, value)
    eccodes.codes_set_values(handle, [float(i % 977) for i in range(4_500_000)])
    message = eccodes.codes_get_message(handle)
    eccodes.codes_release(handle)
    assert len(message) > 1 << 23
    assert list(grib.split([message], MOST)) == [message]


def test_only_one_message_is_held_at_a_time():
    held = 0

    def chunks():
        nonlocal held
        for _ in range(50):
            held += 1
            yield message_2(1000)

    for number, _ in enumerate(grib.split(chunks(), MOST), 1):
        assert held <= number + 1


def test_a_message_is_held_in_one_buffer():
    """And beside it no more than a chunk: 64 MiB in chunks of 1 MiB."""
    size = 64 << 20
    data = message_2(size) + message_2(size)

    def chunks():
        for start in range(0, len(data), 1 << 20):
            yield data[start : start + (1 << 20)]

    tracemalloc.start()
    try:
        for message in grib.split(chunks(), size):
            assert len(message) == size
            del message
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # A buffer that grows has an eighth to spare.
    assert peak < size * 9 / 8 + (4 << 20)


def test_a_length_that_is_a_lie_takes_no_memory():
    lie = b"GRIB\0\0\0\x02" + (1 << 34).to_bytes(8, "big") + bytes(100)
    tracemalloc.start()
    try:
        with pytest.raises(DataSourceError, match="cut short"):
            list(grib.split([lie], 1 << 40))
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_a_message_that_is_too_long_is_refused_with_both_numbers():
    reason = "the upload at byte 40: the message has 1000 bytes; at most 999 are accepted"
    with pytest.raises(DataSourceError, match=reason):
        list(grib.split([message_2(40) + message_2(1000)], 999))


def test_eccodes_reads_a_message_where_it_is():
    sample = eccodes.codes_grib_new_from_samples("regular_ll_pl_grib2")
    message = bytearray(eccodes.codes_get_message(sample))
    eccodes.codes_release(sample)
    with grib.handle_of(message) as handle:
        message[-5] ^= 1  # a copy would not change with it
        assert eccodes.codes_get_message(handle) == message


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"garbage", "at byte 0 is not the start"),
        (message_2() + b"\0\0" + message_2(), "at byte 40 is not the start"),
        (message_2()[:-1], "cut short"),
        (message_2()[:10], "only GRIB editions 1 and 2"),
        (b"GRIB", "only GRIB editions"),
        (message_2()[:-4] + b"8888", "damaged"),
        (b"GRIB\0\0\0\x03" + bytes(8), "only GRIB editions 1 and 2"),
        (b"GRIB\0\0\0\x02" + bytes(8) + b"7777", "damaged"),
        (b"GRIB\0\0\0\x02" + b"\xff" * 8, "at most 20000000"),
        (long_message_1(8_400_000)[:20], "cut short"),
    ],
)
def test_anything_else_is_refused(data, complaint):
    with pytest.raises(DataSourceError, match=complaint):
        list(grib.split([data], MOST))


def test_an_empty_stream_holds_no_message():
    assert list(grib.split([b"", b""], MOST)) == []


def test_the_identity_of_a_message_is_its_mars_keys():
    handle = eccodes.codes_grib_new_from_samples("regular_ll_pl_grib2")
    eccodes.codes_set(handle, "paramId", 130)
    message = eccodes.codes_get_message(handle)
    eccodes.codes_release(handle)
    keys = grib.read_field(bytearray(message)).keys
    assert keys["param"] == "130"
    assert keys["shortName"] == "t"
    assert keys["levtype"] == "pl"


def test_a_message_that_eccodes_cannot_read_has_no_identity():
    with pytest.raises(DataSourceError, match="cannot be read"):
        grib.read_field(bytearray(message_2()))


@pytest.mark.parametrize(
    ("sections", "complaint"),
    [
        ([(6, 1), (6, 7), (6, 7)], "holds 2 fields"),
        ([(6, 1)], "holds 0 fields"),
        ([(6, 1), (4, 7)], "a section has no length"),
        ([(6, 1), (7, 7)], "do not add up"),
    ],
)
def test_a_message_must_hold_one_field(sections, complaint):
    """Sections of six bytes, by the length that they claim and their number."""
    body = b"".join(length.to_bytes(4, "big") + bytes([number, 0]) for length, number in sections)
    message = b"GRIB\0\0\0\x02" + (len(body) + 20).to_bytes(8, "big") + body + b"7777"
    with pytest.raises(DataSourceError, match=complaint):
        grib.read_field(bytearray(message))


def test_the_header_of_a_message_has_its_keys_and_none_of_its_values():
    handle = eccodes.codes_grib_new_from_samples("regular_ll_pl_grib2")
    eccodes.codes_set_values(handle, [float(i) for i in range(eccodes.codes_get(handle, "numberOfPoints"))])
    message = eccodes.codes_get_message(handle)
    eccodes.codes_release(handle)
    field = grib.read_field(bytearray(message))
    assert len(field.header) < len(message) // 2
    assert grib.read_field(bytearray(field.header)).keys == field.keys


KEYS = {
    "param": "167",
    "shortName": "2t",
    "expver": "0001",
    "step": "6",
    "time": "0600",
    "class": "od",
    "date": "2026-01-01",
}


def allowed(**request):
    return {key: {grib.canonical(key, v) for v in values.split("/")} for key, values in request.items()}


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"param": "2t"},
        {"param": "167"},
        {"param": "167.128"},
        {"param": "msl/2T"},
        {"expver": "1", "time": "0600", "class": "OD"},
        {"step": "0/6.0"},
        {"levelist": "500"},
        {"date": "20260101"},
    ],
)
def test_a_message_within_the_request_is_accepted(request_):
    grib.check_identity(KEYS, allowed(**request_))


@pytest.mark.parametrize(
    ("request_", "complaint"),
    [
        ({"param": "msl"}, "param=167/2t, which is not in the request"),
        ({"expver": "0002"}, "expver=0001"),
        ({"step": "0/12"}, "step=6"),
        ({"number": "1"}, "names 'number'"),
    ],
)
def test_one_outside_of_the_request_is_refused_by_key_and_value(request_, complaint):
    with pytest.raises(DataSourceError, match=complaint):
        grib.check_identity(KEYS, allowed(**request_))
