"""Requests as MARS reads them, and what is refused because it cannot be written so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polytope_server.datasource import DataSourceError
from polytope_server.datasource.mars import MARSDataSource, MARSSettings, text
from polytope_server.language import RequestError, coerce

TARGET = Path("/tmp/polytope-mars-x/target")
FLAT = {"class": "od", "param": "2t"}


def refusal(request: dict[str, Any]) -> str:
    with pytest.raises(DataSourceError) as caught:
        text.check(request, "retrieve")
    return str(caught.value)


def test_a_request_is_one_line_with_the_target_of_the_server() -> None:
    request = {**FLAT, "target": "mine.grib", "grid": "1/1", "step": "0/to/24/by/6", "levelist": 500}
    text.check(request, "retrieve")
    assert text.write(request, TARGET) == (
        f'retrieve,class=od,param=2t,grid=1/1,step=0/to/24/by/6,levelist=500,target="{TARGET}"\n'
    )


@pytest.mark.parametrize(
    ("key", "value", "written"),
    [
        ("param", "2t / 10u", "2t/10u"),
        ("param", ["2t", "10u"], "2t/10u"),
        ("grid", 0.25, "0.25"),
        ("number", 3.0, "3"),
        ("bitmap", True, "true"),
        ("area", "60/-10/30/40", "60/-10/30/40"),
        ("time", "00:00:00", "00:00:00"),
        ("station", "a b", '"a b"'),
        ("style", "été", '"été"'),
        ("use", "a+b/c", '"a+b"/c'),
        ("filter", "select * where x = 'y', target = z", "\"select * where x = 'y', target = z\""),
        ("filter", 'select * where x = "y"', "'select * where x = \"y\"'"),
        ("filter", "\"select * where x = 'y'\"", "\"select * where x = 'y'\""),
    ],
)
def test_what_is_no_plain_word_is_quoted(key: str, value: object, written: str) -> None:
    assert text.quoted(key, value) == written


@pytest.mark.parametrize(
    ("request_", "named"),
    [
        ({**FLAT, "levelist": {"a": 1}}, "key 'levelist': {'a': 1} is neither a text"),
        ({**FLAT, "levelist": None}, "key 'levelist': None is neither a text"),
        ({**FLAT, "levelist": [["a"]]}, "key 'levelist': [['a']] is neither a text"),
        ({**FLAT, "levelist": "1000//500"}, "key 'levelist': '1000//500' has an empty value"),
        ({**FLAT, "levelist": ""}, "key 'levelist': '' has an empty value"),
        ({**FLAT, "clas": "rd"}, "key 'clas' is not one of MARS's; did you mean 'class'?"),
        ({**FLAT, "targ": "x"}, "key 'targ' is not one of MARS's; did you mean 'target'?"),
        ({**FLAT, "source": "/etc/passwd"}, "key 'source' is not accepted: data come from MARS"),
        ({**FLAT, "fieldset": "x"}, "key 'fieldset' is not accepted: data are delivered"),
        ({**FLAT, "filter": "a # b"}, "key 'filter': 'a # b' contains '#'"),
        ({**FLAT, "filter": "a\nb"}, r"key 'filter': 'a\nb' contains '\n'"),
        ({**FLAT, "filter": "a \\ b"}, "contains '\\\\'"),
        ({**FLAT, "filter": "a ' \" b"}, "contains both kinds of quotes"),
        ({**FLAT, "filter": "''"}, "expected a statement as a text"),
        ({**FLAT, "filter": ["a"]}, "expected a statement as a text"),
        ({"target": "x", "grid": "1/1"}, "the request chooses no fields"),
        ({"data": "abc"}, "the request is a text without keys, 'abc'"),
    ],
)
def test_what_cannot_be_written_is_refused_by_name(request_: dict[str, Any], named: str) -> None:
    assert named in refusal(request_)


def test_everything_that_is_wrong_is_said_at_once() -> None:
    assert len(refusal({**FLAT, "clas": "x", "levelist": None, "source": "f"}).splitlines()) == 3


@given(st.dictionaries(st.sampled_from(["param", "station", "use", "filter", "style"]), st.text(max_size=30)))
def test_no_value_adds_a_key_or_ends_the_request(values: dict[str, str]) -> None:
    try:
        request = coerce({"class": "od", **values})
        text.check(request, "retrieve")
    except (RequestError, DataSourceError):
        return
    written = text.write(request, TARGET)
    assert list(_read(written)) == ["class", *values, "target"]


def _read(written: str) -> dict[str, str]:
    """The keys of a text with their values, read sign by sign."""
    verb, _, rest = written.partition(",")
    assert (verb, rest[-1], rest.count("\n")) == ("retrieve", "\n", 1)
    found, part, quote = [], "", ""
    for one in rest[:-1]:
        if one == "," and not quote:
            found.append(part)
            part = ""
            continue
        if one in "\"'" and quote in ("", one):
            quote = "" if quote else one
        part += one
    assert not quote
    return dict(pair.split("=", 1) for pair in [*found, part])


def test_uploads_are_not_judged() -> None:
    check = MARSDataSource.request_check(MARSSettings())
    assert check is not None
    check({"anything": None}, "archive")


@pytest.mark.parametrize("folder", ["relative", '/tmp/"', "/tmp/\\", "/tmp/#", "/tmp/\n"])
def test_a_folder_whose_name_cannot_be_quoted_is_refused(folder: str) -> None:
    with pytest.raises(ValueError, match="expected an absolute path"):
        MARSSettings(tmp_dir=Path(folder))


def test_all_keys_of_earlier_servers_are_accepted() -> None:
    settings = MARSSettings.model_validate(
        {
            "protocol": "remote",
            "command": "/usr/local/bin/mars",
            "tmp_dir": "/tmp",
            "override_email": "m@example.org",
            "override_apikey": "the key",
            "use_file_io": False,
            "timeout": 3600,
            "poll_interval": 1,
            "mars_error_filter": "mars - EROR",
            "fdb_config": {"type": "remote", "host": "h", "port": 7654},
            "config": [{"name": "marsod"}],
        }
    )
    assert MARSDataSource.user_attributes(settings) == []
    assert "the key" not in repr(settings)


def test_attributes_of_users_are_needed_where_nothing_overrides_them() -> None:
    assert MARSDataSource.user_attributes(MARSSettings()) == ["ecmwf-email", "ecmwf-apikey"]
    assert MARSDataSource.user_attributes(MARSSettings(override_email="m@example.org")) == ["ecmwf-apikey"]
