"""Expanding requests, and finding out which fields are missing."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polytope_server.datasource import DataSourceError
from polytope_server.datasource.fdb import selection as s


@pytest.mark.parametrize(
    ("key", "value", "values"),
    [
        ("step", "0/to/24/by/6", ["0", "6", "12", "18", "24"]),
        ("step", "0/to/24", ["0", "12", "24"]),
        ("step", "0/to/1/by/30m", ["0", "30m", "1"]),
        ("time", "0000/to/1800", ["0000", "0600", "1200", "1800"]),
        ("date", "20251230/to/20260102", ["20251230", "20251231", "20260101", "20260102"]),
        ("number", "1/to/5/by/2", ["1", "3", "5"]),
        ("levelist", "1000/to/500/by/250", ["1000", "750", "500"]),
        ("levelist", "1000/to/500/by/-250", ["1000", "750", "500"]),
        ("levelist", "0.5/to/1.5/by/0.5", ["0.5", "1", "1.5"]),
        ("step", 6, ["6"]),
        ("step", [0, "6"], ["0", "6"]),
        ("param", "2t/msl/2t", ["2t", "msl"]),
        ("step", "0-24/24-48", ["0-24", "24-48"]),
    ],
)
def test_values_are_expanded_as_the_store_does(key, value, values):
    assert s.expand({key: value}, 10) == {key: values}


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ("0/to/10000000/by/1", "has 10000001 values; at most 10"),
        ("/".join(map(str, range(11))), "has 11 values"),
        ("0/to/6/by/0", "is not a range"),
        ("0/6/to/12", "is a range beside other values"),
        ("a/to/b", "is not a range"),
        ("", "empty"),
        ("1//2", "empty"),
        ([], "expected a text"),
        ({"a": 1}, "expected a text"),
        (None, "expected a text"),
    ],
)
def test_what_cannot_be_expanded_is_refused_with_its_key(value, complaint):
    with pytest.raises(DataSourceError, match=complaint) as raised:
        s.expand({"step": value}, 10)
    assert "'step'" in str(raised.value)


class Store:
    """Holds fields; knows that the parameter 2t is 167."""

    def __init__(self, fields):
        self.fields, self.looks = set(fields), 0

    def __call__(self, selection):
        self.looks += 1
        found = s.Found()
        names = {"2t": "167"}
        fields = dict.fromkeys(tuple(names.get(v, v) for v in f) for f in product(*selection.values()))
        for field in fields:
            if field in self.fields:
                found.add(dict(zip(selection, field, strict=True)), 10)
        return found

    def missing(self, selection):
        return s.missing(self, selection, self(selection))


def steps(*numbers):
    return [str(number) for number in numbers]


def test_single_missing_fields_are_named_by_the_keys_that_vary():
    store = Store([("od", "167", "0"), ("od", "167", "12"), ("od", "151", "6")])
    gone = store.missing({"class": ["od"], "param": ["167", "151"], "step": steps(0, 6)})
    assert gone.count == 2
    assert str(gone) == "param=167, step=6; param=151, step=0"


def test_a_single_field_is_named_by_all_keys():
    assert str(Store([]).missing({"class": ["od"], "step": ["0"]})) == "class=od, step=0"


def test_two_spellings_of_a_value_are_not_missing():
    store = Store([("167", step) for step in steps(*range(100))])
    gone = store.missing({"param": ["2t", "167"], "step": steps(*range(100))})
    assert gone == s.Missing(0, [])
    assert store.looks <= 3


def test_only_the_first_are_named_and_all_are_counted():
    pairs = [(str(a), str(b)) for a in range(20) for b in range(20)]
    gone = Store([pair for pair in pairs if pair[0] != pair[1]]).missing(
        {"a": steps(*range(20)), "b": steps(*range(20))}
    )
    assert gone.count == 20
    assert len(gone.named) == s.MAX_NAMED
    assert str(gone) == "; ".join(f"a={n}, b={n}" for n in range(10)) + "; and 10 more"


def test_scattered_values_of_one_key_are_named_together():
    held = [("167", step) for step in steps(*range(0, 100, 2))]
    gone = Store(held).missing({"param": ["167"], "step": steps(*range(100))})
    assert str(gone) == "step=1/3/5/7/9/11/13/.../99 (50 values)"


def test_what_is_missing_side_by_side_is_named_together():
    store = Store([("167", step) for step in steps(*range(8))])
    gone = store.missing({"param": ["167", "151"], "step": steps(*range(8))})
    assert str(gone) == "param=151, step=0/1/2/3/4/5/6/7"
    assert gone.named[:2] == [{"param": "151", "step": "0"}, {"param": "151", "step": "1"}]


def test_a_text_of_what_is_missing_is_bounded():
    gone = Store([]).missing({"param": ["x" * 5000, "y"], "step": steps(*range(1000))})
    assert str(gone).endswith("step=0/1/2/3/4/5/6/.../999 (1000 values)")
    assert len(str(gone)) < 300


def test_a_value_missing_everywhere_takes_few_looks():
    present = [(step, member) for step in steps(*range(100)) if step != "37" for member in steps(*range(50))]
    store = Store(present)
    gone = store.missing({"step": steps(*range(100)), "number": steps(*range(50))})
    assert gone.count == 50
    assert {name["step"] for name in gone.named} == {"37"}
    assert store.looks < 30


def test_the_store_is_not_asked_for_ever(monkeypatch):
    monkeypatch.setattr(s, "_MAX_LOOKS", 2)
    gone = Store([("167", "0"), ("167", "9")]).missing({"param": ["167"], "step": steps(*range(0, 12, 3))})
    assert gone.count == 2


@given(st.sets(st.tuples(st.integers(0, 3), st.integers(0, 4)), max_size=20))
def test_the_count_is_exact_and_the_names_are_true(present):
    fields = {(str(a), str(b)) for a, b in present}
    gone = Store(fields).missing({"a": steps(*range(4)), "b": steps(*range(5))})
    assert gone.count == 20 - len(fields)
    assert len(gone.named) == min(gone.count, s.MAX_NAMED)
    assert not fields & {(name["a"], name["b"]) for name in gone.named}
