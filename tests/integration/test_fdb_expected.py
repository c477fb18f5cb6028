"""What a real FDB says of a request beside its data: what has no effect, what is missing, what may be."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fdb_fields import SURFACE, make, message, read, stored

from polytope_server.datasource import DataSourceError, Job, Question
from polytope_server.datasource.fdb import FDBDataSource
from polytope_server.testing.datasource import job

WANTED = {**SURFACE, "param": "2t"}


@pytest.fixture
def source(tmp_path: Path) -> FDBDataSource:
    made: FDBDataSource = make(tmp_path)
    made.archive(job({}, verb="archive"), stored())
    return made


def retrieve(source: FDBDataSource, **request: Any) -> tuple[bytes, list[str]]:
    """The data of a request, and what its user reads beside."""
    said: list[str] = []
    wanted = Job("an-id", "retrieve", "", {**WANTED, **request}, tell=lambda _, text: said.append(text))
    return b"".join(source.retrieve(wanted).chunks), said


def refusal_of(source: FDBDataSource, **request: Any) -> str:
    with pytest.raises(DataSourceError) as raised:
        retrieve(source, **request)
    return str(raised.value)


class TestExpect:
    def test_any_number_of_fields_will_do(self, source: FDBDataSource) -> None:
        assert retrieve(source, step="0/6/99", expect="any") == (
            message() + message(step=6),
            ["expect=any: 2 of 3 fields are available; not available: step=99."],
        )

    def test_of_any_number_none_is_one(self, source: FDBDataSource) -> None:
        """As MARS has it: the result is empty."""
        data, (said,) = retrieve(source, step="99", expect="any")
        assert data == b""
        assert said.startswith("expect=any: 0 of 1 fields are available; not available: class=od, ")

    @pytest.mark.parametrize(("expect", "step"), [(2, "0/6"), ("2", "0/6/99"), ("1", "12/18/24")])
    def test_as_many_as_are_expected(self, source: FDBDataSource, expect: Any, step: str) -> None:
        _, (said,) = retrieve(source, step=step, expect=expect)
        assert said.startswith(f"expect={expect}: {expect} of {len(step.split('/'))} fields are available")

    @pytest.mark.parametrize(
        ("expect", "step", "rest"),
        [
            ("3", "0/6/99", "3 fields are expected, and 2 of 3 are available: step=99"),
            ("1", "0/6", "1 fields are expected, and 2 of 2 are available"),
            ("1", "98/99", "1 fields are expected, and 0 of 2 are available: step=98/99"),
        ],
    )
    def test_another_number_is_an_error(
        self, source: FDBDataSource, expect: str, step: str, rest: str
    ) -> None:
        assert refusal_of(source, step=step, expect=expect) == f"key 'expect': {rest}"
        wanted = {**WANTED, "step": step, "expect": expect}
        assert source.answer(Question("check", wanted)).value == [f"key 'expect': {rest}"]

    def test_the_check_at_the_door_heeds_it(self, source: FDBDataSource) -> None:
        answer = source.answer(Question("check", {**WANTED, "step": "0/99", "expect": "any"}))
        assert (answer.value, answer.seconds) == ([], 0)

    def test_a_request_that_lacks_a_key_is_none_whatever_is_expected(self, source: FDBDataSource) -> None:
        assert refusal_of(source, expect="any").endswith("The request must also name: step")

    def test_an_upload_has_as_many_messages_as_are_expected(self, source: FDBDataSource) -> None:
        for expect in (2, "any"):
            source.archive(job({"expect": expect}, verb="archive"), [message(step=18), message(step=24)])
        with pytest.raises(DataSourceError, match="3 fields are expected, and the upload holds 2"):
            source.archive(job({"expect": 3}, verb="archive"), [message(step=30), message(step=36)])
        assert "2 of 2 fields are not available" in refusal_of(source, step="30/36")


class TestNothingInSilence:
    def test_what_has_no_effect_is_said(self, source: FDBDataSource) -> None:
        data, said = retrieve(source, step="6", target="a.grib", accuracy="av", grid="off", model="ifs")
        assert data == message(step=6)
        assert said == [
            "Without effect, as it is so anyway: target=a.grib, accuracy=av.",
            "Without effect, as the archive does not file these fields by it: model=ifs.",
        ]

    def test_there_is_nothing_to_say_of_most_requests(self, source: FDBDataSource) -> None:
        assert retrieve(source, step="6", levelist="off")[1] == []

    def test_a_key_that_has_chosen_the_source_has_an_effect(self, source: FDBDataSource) -> None:
        source.judged = frozenset({"dataset"})
        assert retrieve(source, step="6", dataset="climate-dt")[1] == []

    def test_what_would_change_the_data_never_reaches_it(self, source: FDBDataSource) -> None:
        """Nor does it through a frontend that lets it pass."""
        assert refusal_of(source, step="6", grid="1/1").startswith("key 'grid': '1/1' is not accepted")
        with pytest.raises(DataSourceError, match="key 'grid'"):
            source.answer(Question("estimate", {**WANTED, "step": "6", "grid": "1/1"}))
        with pytest.raises(DataSourceError, match="key 'area'"):
            source.archive(job({"area": "europe"}, verb="archive"), [message()])

    def test_what_is_ignored_is_said_each_time(self, source: FDBDataSource, tmp_path: Path) -> None:
        ignoring = make(tmp_path, ignore=("grid", "area"))
        for _ in range(2):
            assert retrieve(ignoring, step="6", grid="1/1", area="60/-10/30/40") == (
                message(step=6),
                ["Ignored, fields are served as they are stored: grid=1/1, area=60/-10/30/40."],
            )


class TestFormat:
    @pytest.fixture
    def source(self, tmp_path: Path) -> FDBDataSource:
        made: FDBDataSource = make(tmp_path)
        made.archive(job({}, verb="archive"), [message(), message(step=6)])
        return made

    def test_the_format_of_the_fields_is_served(self, source: FDBDataSource) -> None:
        edition = message()[7]
        for name in ("grib", f"grib{edition}"):
            data, (said,) = retrieve(source, step="0/6", format=name)
            assert data == message() + message(step=6)
            assert said == f"Without effect, as it is so anyway: format={name}."

    def test_another_edition_is_an_error(self, source: FDBDataSource) -> None:
        edition = message()[7]
        said = refusal_of(source, step="0/6", format=f"grib{3 - edition}")
        assert said.startswith(f"key 'format': GRIB of edition {3 - edition} is asked for, and a field is of")


class TestWhyNothingIsThere:
    def test_the_date_is_not_there(self, source: FDBDataSource) -> None:
        said = refusal_of(source, date="20260103", step="0")
        assert said.endswith(
            "The archive has nothing at all of class=od, stream=oper, expver=0001, domain=g, date=20260103"
        )

    @pytest.mark.parametrize(
        ("request_", "there"),
        [
            ({"step": "99"}, "There it has step=0/6/12"),
            ({"step": "98/99", "param": "10u"}, "There it has step=0/6/12, param=130/151/167"),
            ({"step": "0", "time": "1200"}, "There it has time=0000"),
            (
                {"step": "0", "levtype": "pl", "levelist": "850", "param": "t"},
                "There it has levelist=500/1000",
            ),
        ],
    )
    def test_what_there_is_instead_is_named(self, source: FDBDataSource, request_: Any, there: str) -> None:
        assert refusal_of(source, **request_).endswith(there)

    def test_each_value_is_there_but_not_together(self, source: FDBDataSource) -> None:
        assert "There it has" not in refusal_of(source, step="0", levtype="pl", levelist="500", param="msl")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter."""
    with tempfile.TemporaryDirectory(prefix="polytope-test-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_an_upload_without_permission_to_write_is_refused_in_words(open_folder: Path) -> None:
    source = make(open_folder)
    source.archive(job({}, verb="archive"), [message()])
    for path in (open_folder, *open_folder.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_archive_unprivileged, args=(source, sender))
    child.start()
    assert receiver.poll(60)
    said, data = receiver.recv()
    child.join(60)
    assert said == "nothing can be archived into trial: the server has no permission to write there"
    assert data == message()


def _archive_unprivileged(source: FDBDataSource, sender: Any) -> None:
    if os.getuid() == 0:
        os.setuid(65534)
    try:
        source.archive(job({}, verb="archive"), [message(step=6)])
    except DataSourceError as error:
        sender.send((str(error), read(source, **WANTED, step="0")))
