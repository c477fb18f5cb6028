"""The file of a schedule: where it is, and what happens when it changes."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from polytope_server.config import load
from polytope_server.config.releases import open_schedule
from polytope_server.schedule.file import EARLIER_FILE, ScheduleFile, find_file
from polytope_server.settings.problems import ConfigurationError

PRODUCT = (
    "<product><class>od</class><stream>oper</stream><time>00:00</time><type>fc</type>"
    "<release_time>{}</release_time></product>"
)
REQUEST = {"class": "od", "stream": "oper", "type": "fc", "date": "20260301", "time": "0000", "step": "0"}
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def write(path: Path, *times: str) -> Path:
    path.write_text(f"<s>{''.join(map(PRODUCT.format, times))}</s>")
    return path


def released(file: ScheduleFile) -> bool:
    return file.current().embargo(REQUEST, NOON) is None


def test_a_changed_file_is_read_again_within_a_second(tmp_path: Path) -> None:
    clock = Clock()
    file = ScheduleFile(write(tmp_path / "schedule.xml", "13:00:00"), clock)
    assert not released(file)
    write(tmp_path / "schedule.xml", "11:00:00", "11:30:00")
    assert not released(file)
    clock.now = 1.0
    assert released(file)


def test_a_file_that_is_replaced_with_one_of_the_same_size_and_time_is_read_again(tmp_path: Path) -> None:
    # As Kubernetes does it: a link that names another folder
    clock = Clock()
    path, other = write(tmp_path / "schedule.xml", "13:00:00"), write(tmp_path / "other.xml", "11:00:00")
    times = path.stat()
    os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns))
    file = ScheduleFile(path, clock)
    other.rename(path)
    clock.now = 1.0
    assert released(file)


@pytest.mark.parametrize("text", ["<s>", "<s/>", None])
def test_a_broken_file_leaves_the_last_good_one_in_force(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str | None
) -> None:
    clock = Clock()
    path = write(tmp_path / "schedule.xml", "11:00:00")
    file = ScheduleFile(path, clock)
    if text is None:
        path.unlink()
    else:
        path.write_text(text)
    for clock.now in (1.0, 2.0, 3.0):
        assert released(file)
    # Its error is logged once, not at each look
    (record,) = [one for one in caplog.records if one.levelname == "ERROR"]
    assert f"{path} " in record.getMessage()
    assert "the one before stays in force" in record.getMessage()
    write(path, "13:00:00")
    clock.now = 4.0
    assert not released(file)


def test_the_file_is_looked_at_once_a_second_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    file = ScheduleFile(write(tmp_path / "schedule.xml", "11:00:00"), clock)
    looks: list[Path] = []
    real = Path.stat
    monkeypatch.setattr(Path, "stat", lambda path, **_: (looks.append(path), real(path))[1])
    for number in range(100):
        clock.now = number / 50
        file.current()
    assert len(looks) == 1


def test_the_place_of_earlier_servers_counts_where_their_variable_says_so() -> None:
    own = Path("/etc/own.xml")
    assert find_file(own, {"SCHEDULE_ENABLED": "true"}) == own
    assert (
        find_file(None, {"SCHEDULE_ENABLED": "true"})
        == EARLIER_FILE
        == Path("/etc/polytope_schedule/schedule.xml")
    )
    assert find_file(None, {"SCHEDULE_ENABLED": "false"}) is None
    assert find_file(None, {}) is None


def configure(folder: Path, schedule: str, obey: bool = True) -> Path:
    path = folder / "config.yaml"
    path.write_text(
        f"{schedule}\n"
        f"datasources: {{d: {{type: echo, obey_schedule: {str(obey).lower()}}}}}\n"
        "collections: {c: {roles: {r: any}, datasources: [d]}}\n"
    )
    return path


def problem(path: Path) -> str:
    configuration = load([path], system_file=path.parent / "none")
    with pytest.raises(ConfigurationError) as refused:
        open_schedule(configuration, {})
    return str(refused.value)


def test_a_source_that_obeys_needs_a_good_schedule(tmp_path: Path) -> None:
    assert (
        "collections.c: data source 'd' has obey_schedule, but there is no schedule; set schedule.file"
        in (problem(configure(tmp_path, "")))
    )
    missing = configure(tmp_path, f"schedule: {{file: {tmp_path / 'none.xml'}}}")
    assert "schedule.file: " in problem(missing)
    assert "none.xml cannot be read: No such file or directory" in problem(missing)
    broken = write(tmp_path / "broken.xml", "25:00:00")
    found = problem(configure(tmp_path, f"schedule: {{file: {broken}}}"))
    assert f"schedule.file: {broken} product 1: release_time '25:00:00'" in found


def test_a_file_that_no_source_obeys_is_not_read(tmp_path: Path) -> None:
    path = configure(tmp_path, f"schedule: {{file: {tmp_path / 'none.xml'}}}", obey=False)
    assert open_schedule(load([path], system_file=tmp_path / "none"), {}) is None
    good = write(tmp_path / "good.xml", "11:00:00")
    path = configure(tmp_path, f"schedule: {{file: {good}}}")
    assert open_schedule(load([path], system_file=tmp_path / "none"), {}) is not None
