"""What the frontend finds wrong with a request for an FDB, without the FDB."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from polytope_server.datasource import DataSourceError, RequestCheck
from polytope_server.datasource.fdb import FDBDataSource, FDBSettings

SCHEMA = """
param: Param; step: Step;
# Two kinds of forecasts, and monthly means.
[ class=od/rd, expver, stream=oper, date, time, domain?
    [ type, levtype=sfc [ step, param ]]
    [ type, levtype     [ step, levelist, param, timespan? ]] ]
[ class, expver, stream = enfo, date:ClimateDaily, time, system-
    [ type=fc, levtype [ number, step, param ]] ]
"""
LABEL = {"class": "od", "expver": "0001", "stream": "oper", "date": "20260101", "time": "0000", "type": "fc"}
SURFACE = {**LABEL, "levtype": "sfc", "param": "2t", "step": "0"}


def make(tmp_path: Path, schema: str | None = SCHEMA, **settings: Any) -> RequestCheck:
    if schema is not None:
        (tmp_path / "schema").write_text(schema)
    config = {"type": "local", "schema": str(tmp_path / "schema")}
    return FDBDataSource.request_check(FDBSettings(fdb_config=config, **settings))


@pytest.fixture
def said(tmp_path: Path) -> Callable[..., str]:
    """What a user reads of a request, the empty text if it is good."""
    check = make(tmp_path)

    def read(request: dict[str, Any], verb: str = "retrieve") -> str:
        try:
            check(request, verb)
        except DataSourceError as error:
            return str(error)
        return ""

    return read


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"param": "167"},
        {"param": "167.128/msl/130.200/10U"},
        {"param": "AVG_2T"},
        {"param": "318"},  # of a table that the other keys say
        {"step": "0/to/24/by/6"},
        {"class": "operations"},
        {"stream": "OPER", "type": "forecast"},
        {"levtype": "surface"},
        {"domain": "g", "grid": "av", "padding": 0, "target": "x"},
        {"month": "1/to/12", "origin": "98"},
        {"levelist": "off", "number": "OFF", "system": "02"},
        {"levelist": ["off"]},
        {"levtype": "pl", "levelist": "0.000/50./1", "param": "t"},
        {"levtype": "pl", "levelist": "500", "param": "t"},
        {"stream": "enfo", "number": "1", "class": "ea", "levtype": "pl"},
        {"class": "ea"},  # no rule is for it: the FDB says so itself
    ],
)
def test_a_good_request_passes(said: Callable[..., str], change: dict[str, str]) -> None:
    assert said({**SURFACE, **change}) == ""


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"param": "2tt"}, "key 'param': '2tt' is no parameter that the FDB knows; did you mean '2t'?"),
        ({"param": "t2m"}, "did you mean '2t'?"),
        ({"param": "u10/2t"}, "key 'param': 'u10' is no parameter that the FDB knows; did you mean '10u'?"),
        ({"param": "130.2"}, "(number 130 of table 2); did you mean '130.200'?"),
        ({"param": "999999"}, "'999999' is no parameter that the FDB knows; expected short names such as 2t"),
        ({"param": "x" * 1000}, "expected short names"),
        ({"parm": "2t"}, "key 'parm' is not one of the FDB's; did you mean 'param'?"),
        ({"leveltype": "sfc"}, "key 'leveltype' is not one of the FDB's; did you mean 'levtype'?"),
        ({"STEP": "6"}, "key 'STEP' is not one of the FDB's; did you mean 'step'?"),
        ({"qqqq": "1"}, "key 'qqqq' is not one of the FDB's; keys are those of MARS"),
        ({"type": "fcc"}, "key 'type': 'fcc' is not one of its values; did you mean 'fc'?"),
        ({"resolution": "x"}, "key 'resolution': 'x' is not one of its values; expected high, standard"),
        ({"stream": "oper/enfo"}, "key 'stream': 'oper/enfo' is not accepted; the FDB takes one value of it"),
        ({"levelist": "all"}, "'all' is not accepted; the FDB needs each value by itself, or a range a/to/b"),
        ({"param": "2t/ALL"}, "key 'param': 'all' is not accepted"),
        ({"year": "2020/x"}, "key 'year': 'x' is not accepted; expected whole numbers"),
        ({"levtype": "off"}, "the request must also name: levtype"),
        ({"step": "0/to/x"}, "key 'step': '0/to/x' is not a range"),
        ({"levelist": None}, "key 'levelist': expected a text, a number, or a list of them"),
        ({"step": "0//6"}, "key 'step': a value is empty"),
        ({"step": "0/to/99999/by/1", "number": "1/2/3"}, "describes 300000 fields; at most 200000"),
        ({"step": "0/to/999999/by/1"}, "at most 100000"),
        ({"data": "x"}, "the request is a text without keys, 'x'"),  # beside the defaults of the collection
    ],
)
def test_a_mistake_is_named_with_what_is_meant(
    said: Callable[..., str], change: dict[str, Any], sentence: str
) -> None:
    assert sentence in said({**SURFACE, **change})


@pytest.mark.parametrize(
    ("missing", "change"),
    [
        ("levtype", {}),
        ("class", {}),
        ("param", {}),
        ("step", {"levtype": "surface"}),
        ("levelist", {"levtype": "pl"}),
        ("number", {"stream": "enfo"}),
        ("number", {"stream": "ensemble prediction system"}),
    ],
)
def test_a_key_that_the_schema_demands_is_named(
    said: Callable[..., str], missing: str, change: dict[str, str]
) -> None:
    request = {key: value for key, value in {**SURFACE, **change}.items() if key != missing}
    assert said(request) == f"the request must also name: {missing}"
    # An archive takes the keys of the messages.
    assert said(request, "archive") == ""


def test_all_mistakes_come_in_one_answer_a_line_each(said: Callable[..., str]) -> None:
    lines = said({"parm": "2t", "param": "2tt/zzz", "type": "fcc"}).splitlines()
    assert [line.split(":")[0].split(" is ")[0] for line in lines] == [
        *("key 'parm'", "key 'param'", "key 'param'", "key 'type'")
    ]


def test_a_message_does_not_grow_with_the_request(said: Callable[..., str]) -> None:
    text = said({**{f"key{n}": "1" for n in range(1000)}, "param": "/".join(f"x{n}" for n in range(1000))})
    assert len(text) < 3000


@pytest.mark.parametrize("request_", [{}, {"grid": "av"}])
def test_a_request_that_chooses_nothing_reads_what_a_request_is(
    said: Callable[..., str], request_: dict[str, str]
) -> None:
    assert said(request_).startswith("the request chooses no fields; expected keys with values, such as {")
    assert said(request_, "archive") == ""


@pytest.mark.parametrize("value", [None, "", "ret,class=od", [{"class": "od"}], 5])
def test_what_is_no_request_reads_what_one_is(said: Callable[..., str], value: Any) -> None:
    for verb in ("retrieve", "archive"):
        assert "expected keys with values, such as {" in said({"data": value}, verb)


@pytest.mark.parametrize(
    "schema", [None, "no schema", "[ class [ type [ step", "[ a [ b [ c [ d ]]]]", "[ a ] ]"]
)
def test_without_a_schema_that_it_can_read_the_rest_is_checked(tmp_path: Path, schema: str | None) -> None:
    check = make(tmp_path, schema)
    check({"class": "od"}, "retrieve")
    with pytest.raises(DataSourceError, match="did you mean '2t'"):
        check({"param": "2tt"}, "retrieve")


def test_a_rule_for_all_other_values_refuses_none_of_them(tmp_path: Path) -> None:
    check = make(tmp_path, "[ class=!od/!rd [ type [ step ]]] [ class=od [ type [ step, number ]]]")
    for class_ in ("ea", "od"):
        check({"class": class_, "type": "fc", "step": "0"}, "retrieve")


def test_the_configuration_may_be_a_file_that_only_workers_have(tmp_path: Path) -> None:
    check = FDBDataSource.request_check(FDBSettings(fdb_config=tmp_path / "absent.yaml"))
    check({"class": "od"}, "retrieve")


def test_of_several_fdbs_all_schemas_count(tmp_path: Path) -> None:
    parts = []
    for number, text in enumerate(("[ class=od [ type [ step ]]]", "[ class=rd [ type [ number ]]]")):
        (tmp_path / str(number)).write_text(text)
        parts.append({"type": "local", "schema": str(tmp_path / str(number))})
    check = FDBDataSource.request_check(FDBSettings(fdb_config={"type": "select", "fdbs": parts}))
    for request, missing in (
        ({"class": "od", "type": "fc"}, "step"),
        ({"class": "rd", "type": "fc"}, "number"),
    ):
        with pytest.raises(DataSourceError, match=f"must also name: {missing}$"):
            check(request, "retrieve")
    check = FDBDataSource.request_check(
        FDBSettings(
            fdb_config={"type": "select", "fdbs": [*parts, {"type": "remote", "host": "x", "port": 7654}]}
        )
    )
    check({"class": "od"}, "retrieve")
