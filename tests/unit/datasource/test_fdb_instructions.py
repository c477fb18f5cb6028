"""Keys of a request for an FDB that choose no field: refused, or without effect, and never in silence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pydantic
import pytest

from polytope_server.datasource import DataSourceError, Job
from polytope_server.datasource.fdb import FDBDataSource, FDBSettings
from polytope_server.datasource.fdb.instructions import Instructions
from polytope_server.datasource.fdb.keys import NOT_DATA
from polytope_server.datasource.polytope import PolytopeDataSource, PolytopeSettings

REMOTE = {"type": "remote", "host": "fdb.example.org", "port": 7654}
FIELD = {"class": "od", "type": "fc", "param": "2t", "step": "0/6"}
AS_STORED = "fields are served as they are stored; leave it out"
#: What is refused, and the end of what is said.
REFUSED: list[tuple[str, Any, str]] = [
    ("grid", "1/1", f"{AS_STORED}, or say 'av'"),
    ("grid", [1, 1], f"{AS_STORED}, or say 'av'"),
    ("grid", "auto", "or say 'av'"),
    ("grid", "O1280", "or say 'av'"),
    ("area", "60/-10/30/40", "or say 'global'"),
    ("area", "europe", "or say 'global'"),
    ("area", "90/0/-90/360", "or say 'global'"),
    ("rotation", "-20/30", AS_STORED),
    ("resol", "auto", "or say 'av'"),
    ("resol", 639, "or say 'av'"),
    ("truncation", 639, "or say 'none'"),
    ("intgrid", "O640", "or say 'none'"),
    ("interpolation", "nearest-lsm", AS_STORED),
    ("gaussian", "regular", AS_STORED),
    ("accuracy", 12, "or say 'av'"),
    ("accuracy", "low", "or say 'av'"),
    ("packing", "ccsds", "or say 'av'"),
    ("format", "netcdf", "or say 'grib'"),
    ("format", "grid", "or say 'grib'"),
    ("frame", 3, AS_STORED),
    ("bitmap", "coast", AS_STORED),
    ("style", "dissemination", AS_STORED),
    ("repres", "sh", AS_STORED),
    ("units", "si", "or say 'av'"),
    ("day", "1/to/31", AS_STORED),
    ("padding", 120, "or say '0'"),
    ("padding", "auto", "or say '0'"),
    ("duplicates", "keep", "or say 'remove'"),
    ("use", "intent", "or say 'normal'"),
    (
        "filter",
        'select * where stationid="X"',
        "it is for observations, and there are only fields; leave it out",
    ),
    ("filter", {"a": 1}, "leave it out"),
    ("database", "marsod", "the collection says which archive is asked; leave it out"),
    ("fieldset", "a", "the result is one file, which is downloaded; leave it out"),
    ("source", "a.grib", "and from no file; leave it out"),
]
#: What is without effect.
DONE_ANYWAY: list[tuple[str, Any]] = [
    *(("grid", value) for value in ("av", "AV", ["av"], "archived value")),
    *(("area", value) for value in ("global", "G")),
    *(("resol", value) for value in ("av", "AV")),
    *(("format", value) for value in ("grib", "GRIB2", "grib1", "packed", "p")),
    *(("padding", value) for value in (0, "0", "none")),
    *(("use", value) for value in ("infrequent", "frequent/disk")),
    *(("process", value) for value in ("local", "server")),
    *(("target", value) for value in ("out.grib", "reference.data", ["a", "b"], "|cat")),
    ("accuracy", "av"),
    ("packing", "av"),
    ("units", "av"),
    ("truncation", "none"),
    ("intgrid", "none"),
    ("duplicates", "remove"),
    ("optimise", "on"),
]


def refusal_of(request: dict[str, Any], verb: str = "retrieve", **settings: Any) -> str:
    """What the frontend says of a request, the empty text if it takes it."""
    check = FDBDataSource.request_check(FDBSettings(fdb_config=REMOTE, **settings))
    try:
        check({**FIELD, **request}, verb)
    except DataSourceError as error:
        return str(error)
    return ""


def notes_on(
    request: dict[str, Any], instructions: Instructions, idle: Mapping[str, str] | None = None
) -> list[str]:
    said: list[str] = []
    job = Job(
        "an-id", "retrieve", "", {**FIELD, **request}, tell=lambda kind, text: said.append(f"{kind}: {text}")
    )
    instructions.remark(job, idle or {})
    return said


@pytest.mark.parametrize(("key", "value", "end"), REFUSED)
def test_what_would_change_the_data_is_refused_by_name_with_what_would_do(
    key: str, value: Any, end: str
) -> None:
    for verb in ("retrieve", "archive") if key != "source" else ("retrieve",):
        said = refusal_of({key: value}, verb)
        assert said.startswith(f"key '{key}': ")
        assert said.endswith(end)
        assert len(said) < 300


def test_no_key_that_chooses_no_field_is_without_a_rule() -> None:
    assert {key for key, _, _ in REFUSED} | {key for key, _ in DONE_ANYWAY} | {
        "expect",
        "process",
    } == NOT_DATA
    for key in NOT_DATA - {"target", "optimise"}:
        assert refusal_of({key: "anything"}).startswith(f"key '{key}': 'anything' is not accepted")


@pytest.mark.parametrize(("key", "value"), DONE_ANYWAY)
def test_what_asks_for_what_happens_anyway_is_taken_off_with_a_word(key: str, value: Any) -> None:
    assert refusal_of({key: value}) == ""
    (note,) = notes_on({key: value}, Instructions())
    assert note.startswith(f"note: Without effect, as it is so anyway: {key}=")


def test_all_of_it_is_said_in_one_bounded_note() -> None:
    request = {"target": "x" * 1000, "accuracy": "av", "grid": ["av"]}
    (note,) = notes_on(request, Instructions())
    assert note.endswith(", accuracy=av, grid=av.")
    assert len(note) < 200
    assert len(notes_on({"target": ["y" * 100] * 1000, **request}, Instructions())[0]) < 500


def test_the_file_that_an_archive_names_is_that_of_the_client() -> None:
    assert refusal_of({"source": "a.grib"}, "archive") == ""


@pytest.mark.parametrize("request_", [{}, {"grid": "off"}, {"area": "OFF"}])
def test_there_is_nothing_to_say_of_a_request_without_such_keys(request_: dict[str, Any]) -> None:
    assert refusal_of(request_) == ""
    assert notes_on(request_, Instructions(ignored=frozenset({"grid"}))) == []


class TestIgnore:
    def test_what_the_configuration_ignores_is_taken_with_a_word_each_time(self) -> None:
        request = {"grid": "1/1", "area": "60/-10/30/40", "target": "x"}
        assert refusal_of(request, ignore=["grid", "area"]) == ""
        assert "key 'rotation'" in refusal_of({**request, "rotation": "-20/30"}, ignore=["grid", "area"])
        assert notes_on(request, Instructions(ignored=frozenset({"grid", "area"}))) == [
            "note: Ignored, fields are served as they are stored: grid=1/1, area=60/-10/30/40.",
            "note: Without effect, as it is so anyway: target=x.",
        ]

    def test_only_keys_that_choose_no_field_can_be_ignored(self) -> None:
        with pytest.raises(pydantic.ValidationError, match=r"'param' cannot be ignored; .*area, bitmap"):
            FDBSettings(fdb_config={}, ignore=["grid", "param"])

    def test_an_ignored_expectation_is_not_heeded(self) -> None:
        assert refusal_of({"expect": "many"}, ignore=["expect"]) == ""
        assert Instructions(frozenset({"expect"}), frozenset({"expect"})).expectation({"expect": 3}) is None

    def test_features_ignore_the_same_keys(self) -> None:
        settings = PolytopeSettings(gribjump_config={}, ignore=["grid"])
        check = PolytopeDataSource.request_check(settings)
        feature = {"type": "position", "points": [[1, 2]]}
        check({**FIELD, "feature": feature, "grid": "1/1"}, "retrieve")
        with pytest.raises(DataSourceError, match="key 'area': 'europe' is not accepted"):
            check({**FIELD, "feature": feature, "area": "europe"}, "retrieve")
        with pytest.raises(
            DataSourceError, match="key 'expect': 'any' is not accepted: all that is asked for"
        ):
            check({**FIELD, "feature": feature, "expect": "any"}, "retrieve")


class TestServed:
    """A source that post-processes serves some of the keys itself."""

    def test_it_alone_judges_and_remarks_them(self) -> None:
        served = Instructions(served=frozenset({"grid", "format"}))
        request = {"grid": "1/1", "format": "grib2", "area": "europe"}
        assert [said.split(":")[0] for said in served.refusals(request, "retrieve")] == ["key 'area'"]
        assert served.edition_of(request) is None
        assert notes_on({"grid": "av"}, served) == []

    def test_what_it_finds_idle_is_said_with_the_rest(self) -> None:
        served = Instructions(served=frozenset({"grid"}))
        said = notes_on({"target": "x", "grid": "av"}, served, idle={"grid": "av"})
        assert said == ["note: Without effect, as it is so anyway: target=x, grid=av."]


@pytest.mark.parametrize(
    ("value", "edition"), [("grib1", 1), ("GRIB2", 2), ("grib edition 2", 2), ("grib", None), ("off", None)]
)
def test_an_edition_that_is_named_is_demanded_of_the_fields(value: str, edition: int | None) -> None:
    assert Instructions().edition_of({"format": value}) == edition


class TestExpect:
    @pytest.mark.parametrize("value", ["any", "ANY", 1, "2", "off"])
    def test_any_and_numbers_are_accepted(self, value: Any) -> None:
        assert refusal_of({"expect": value}) == ""

    @pytest.mark.parametrize("value", ["some", 0, -1, "1/2", ["any", 1], "1.5", None, "9" * 40, True])
    def test_anything_else_is_refused(self, value: Any) -> None:
        if value is not None:
            assert "is not accepted; expected 'any', or the number of fields" in refusal_of({"expect": value})

    def test_more_than_is_described_is_refused(self) -> None:
        said = refusal_of({"expect": 3})
        assert said == "key 'expect': 3 fields are expected, and the request describes 2"


def test_the_expectation_of_an_archive_is_checked_too() -> None:
    assert "key 'expect'" in refusal_of({"expect": "many"}, "archive")
