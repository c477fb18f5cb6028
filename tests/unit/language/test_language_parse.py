"""The text of a request -> a value: YAML's traps, JSON, MARS inline text, and bounds."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from polytope_server.language import RequestError, parse, parsing

quick = settings(deadline=None, database=None, max_examples=150)

LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)
)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2024-01-01", "2024-01-01"),
        ("20240101", 20240101),
        ("0001", "0001"),
        ("0x01", "0x01"),
        ("1e10", "1e10"),
        ("12:00", "12:00"),
        ("1:30", "1:30"),
        ("no", "no"),
        ("on", "on"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("-1", -1),
        ("0", 0),
        ("1_000", "1_000"),
        ("10.50", 10.5),
        ("1.5e-3", 0.0015),
        ("'12'", "12"),
        ("!!str 12", "12"),
        ("1234567890123456789", "1234567890123456789"),
        ("0/to/24/by/6", "0/to/24/by/6"),
        ("{a: 1, b: [2, x]}", {"a": 1, "b": [2, "x"]}),
        ("!not-a-number", RequestError),
        (".nan", RequestError),
        ("-.inf", RequestError),
        ("1.0e999", RequestError),
    ],
)
def test_a_yaml_scalar_keeps_the_meaning_that_its_author_sees(written: str, expected: Any) -> None:
    # Given a value as a user writes it in YAML, when it is parsed
    text = f"key: {written}"
    # Then it is what it looks like, or refused
    if expected is RequestError:
        with pytest.raises(RequestError):
            parse(text)
    else:
        assert repr(parse(text)) == repr({"key": expected})


def test_a_parameter_with_a_table_keeps_its_trailing_zeros() -> None:
    assert parse("param: [130.200, 167]\nother: 130.200") == {"param": ["130.200", "167"], "other": 130.2}
    assert parse('{"Param": [130.200, 167, 130.0], "other": [130.200]}') == {
        "Param": ["130.200", 167, 130.0],
        "other": [130.2],
    }
    assert parse('{"parameters": 130.200}') == {"parameters": "130.200"}


@pytest.mark.parametrize("text", ["class: od", '{"class": "od"}', "class=od"])
def test_a_byte_order_mark_is_no_part_of_the_request(text: str) -> None:
    assert parse("\ufeff" + text) == {"class": "od"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("hello", "hello"),
        ("1000", 1000),
        ("", None),
        ("null", None),
        ("[1, 2]", [1, 2]),
        ('"quoted"', "quoted"),
        ('{"a": "\\ud83d\\ude00\\/", "b":\t1e3}', {"a": "😀/", "b": 1000.0}),
        ('{"a": 12345678901234567890}', {"a": "12345678901234567890"}),
        ("{a: 1}", {"a": 1}),
        ("{'a': 1, 'b': [1, 2], 'e': True}", {"a": 1, "b": [1, 2], "e": True}),
        ("1: a\ntrue: b\n", {"1": "a", "true": "b"}),
        ("a: &x [1, 2]\nb: *x", {"a": [1, 2], "b": [1, 2]}),
    ],
)
def test_yaml_and_json_values_of_every_shape(text: str, value: Any) -> None:
    assert parse(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("class = od, stream=oper", {"class": "od", "stream": "oper"}),
        (
            "retrieve,\n  class=od,\n  step=0/to/24/by/6,\n  param='2t' / \"msl\"",
            {"class": "od", "step": "0/to/24/by/6", "param": "2t/msl"},
        ),
        ("RETRIEVE, expver = 0001, time = 12:00,\n", {"expver": "0001", "time": "12:00"}),
        ('target="a, b=c"', {"target": "a, b=c"}),
        ("retrieve,\n class=od, # operations\n param=2t", {"class": "od", "param": "2t"}),
        ("# it's mine\nclass=od,# x=1,\r\n# end", {"class": "od"}),
        ("target='#1', param=2t # t='", {"target": "#1", "param": "2t"}),
        ("\ufeffretrieve,class=od", {"class": "od"}),
        ("filter=\"select a / b where c='X'\"", {"filter": "select a / b where c='X'"}),
        ("param=2t/\n  msl,\n step=0", {"param": "2t/msl", "step": "0"}),
        ("a =", {"a": ""}),
    ],
)
def test_inline_text_of_mars_becomes_a_mapping_of_texts(text: str, value: Any) -> None:
    assert parse(text) == value


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("a = 1, rest", "rest"),
        ("a = b = c", "a = b"),
        ('a = "open', "open"),
        ("a = 1, a = 2", "'a'"),
        ("retrieve,class=od,step=0\nretrieve,step=6", "several requests"),
        ('retrieve,target="a"\n\n  RET , step=6', "several requests"),
        ("class=od\nlist, step=6", "several requests"),
        ("a: 1\na: 2", "'a'"),
        ('{"a": 1, "a": 2}', "'a'"),
        ('{"a": NaN}', "NaN"),
        ('{"a": 1e999}', "1e999"),
        ("? [a]\n: 1", "key"),
        ("a: [1", "line"),
        ("a\x00b", "not allowed"),
        ("a: !!python/object:os.system x", "tag"),
        ("a: !!set {x}", "tag"),
        ("a\n---\nb", "documents"),
        ("&a [*a]", "'*a'"),
        ("*b", "'*b'"),
        (LAUGHS, "aliases"),
        ("[" * 100, "nested"),
        ("[" * 40 + "]" * 40, "nested"),
        ('{"a":' * 5000, "nested"),
        ("- " * 100, "nested"),
        ('"\\ud800"', "surrogate"),
        ("a: \ud800", "surrogate"),
        ('{"\\udfff": 1}', "surrogate"),
    ],
)
def test_what_is_no_request_is_refused_with_its_cause(text: str, word: str) -> None:
    with pytest.raises(RequestError, match=r"(?s).") as error:
        parse(text)
    assert word in str(error.value)


@pytest.mark.parametrize(
    "text",
    ["a=b," * 100_000, "a = " + " " * 500_000 + "=", "[" * 500_000, LAUGHS, "a=" + '"' * 99_999],
    ids=["pairs", "spaces", "brackets", "laughs", "quotes"],
)
def test_a_hostile_text_is_judged_quickly(text: str) -> None:
    start = time.process_time()
    with pytest.raises(RequestError):
        parse(text)
    assert time.process_time() - start < 2


fragments = [
    *"{}[]:,-?&*!|>'\"%@`#=/\n\t ",
    *(": ", "- ", "&a ", "*a", "!!int ", "<<", "---\n", "...", "retrieve,", "a", "key"),
    *("0001", "2024-01-01", ".inf", "1e9", "9" * 5000, "\ud800", "\x00", "é"),
]
pieces = st.lists(st.sampled_from(fragments)).map("".join)


@pytest.mark.parametrize("loader", [parsing._LOADER, yaml.SafeLoader], ids=["default", "pure-python"])
@given(text=st.one_of(st.text(), pieces))
@quick
def test_no_text_raises_anything_but_a_request_error(loader: Any, text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parsing, "_LOADER", loader)
        try:
            value = parse(text)
        except RequestError:
            return
    assert json.loads(json.dumps(value, allow_nan=False).encode()) == value


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**16), 10**16),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


@given(
    st.dictionaries(
        st.text(st.characters(categories=["L", "N"]), min_size=1).filter(lambda key: key.lower() != "param"),
        values,
    )
)
@quick
def test_json_text_means_what_json_says(value: dict[str, Any]) -> None:
    assert parse(json.dumps(value)) == value


@given(
    st.dictionaries(
        st.sampled_from(["a", "step", "expver", "x y"]),
        st.one_of(
            st.text(st.characters(codec="ascii")),
            st.integers(-(10**16), 10**16),
            st.lists(st.sampled_from(["0001", "no", "12:00", "x"])),
        ),
    )
)
@quick
def test_what_the_published_client_dumps_is_read_back(value: dict[str, Any]) -> None:
    # Given a mapping that the client writes with yaml.safe_dump, anchors of shared lists included
    text = yaml.safe_dump({**value, "again": value.get("a")})
    # Then the server reads the same mapping
    assert parse(text) == {**value, "again": value.get("a")}
