"""What the MARS client prints: lines for the log, for the user, and none that grow without end."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from polytope_server.datasource import Job
from polytope_server.datasource.mars.log import ClientLog


class Output:
    """What users read of a client's output, and the clock that the output goes by."""

    def __init__(self) -> None:
        self.now = 0.0
        self.said: list[tuple[str, str]] = []
        job = Job("i", "retrieve", "", {}, tell=lambda kind, text: self.said.append((kind, text)))
        self.log = ClientLog(job, "mars - EROR", Path("/tmp/polytope-mars-x"), 10, lambda: self.now)


@pytest.fixture
def output() -> Output:
    return Output()


def test_lines_of_errors_are_notes_and_each_is_said_once(output: Output) -> None:
    output.log.feed(b"mars - EROR - a\nmars - EROR - b\nmars - EROR - a\n")
    assert output.said == [("note", "mars - EROR - a"), ("note", "mars - EROR - b")]
    assert output.log.errors == ["mars - EROR - a", "mars - EROR - b"]


def test_other_lines_are_progress_as_often_as_is_wanted(output: Output) -> None:
    output.log.feed(b"one\ntwo\n")
    output.now = 10.0
    output.log.feed(b"three\nfour\n")
    assert output.said == [("progress", "one"), ("progress", "three")]


def test_a_line_may_come_in_parts_and_the_last_without_its_end(output: Output) -> None:
    for part in (b"mars - ER", b"OR - a", b"\nmars - EROR", b" - b"):
        output.log.feed(part)
    output.log.end(failed=False)
    assert output.log.errors == ["mars - EROR - a", "mars - EROR - b"]


def test_users_see_no_temporary_folder_and_no_control_characters(output: Output) -> None:
    output.log.feed(b"mars - EROR - \x1b[31mcannot write /tmp/polytope-mars-x/target\xff\n")
    assert output.log.errors == ["mars - EROR -  [31mcannot write .../target\N{REPLACEMENT CHARACTER}"]


def test_lines_and_their_number_are_bounded(output: Output, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    output.log.feed(b"mars - EROR " + b"x" * 1_000_000 + b"\n")
    for number in range(1000):
        output.log.feed(b"mars - EROR %d\n" % number)
    output.log.end(failed=True)
    assert len(output.log.errors) == 20
    assert max(map(len, output.log.errors)) <= 500
    assert "801 further lines of the MARS client are left out" in caplog.text
    assert "mars - EROR 500\n" not in caplog.text
    assert "mars - EROR 999" in caplog.text
