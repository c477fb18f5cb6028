"""GribJump's index of what is archived: written when the fields are visible, and missed by `config check`."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fdb_fields import SURFACE, make, message
from newcomer import DOCS, blocks

from polytope_server.datasource.fdb import FDBDataSource, FDBSettings, index
from polytope_server.datasource.polytope import PolytopeSettings
from polytope_server.testing.datasource import job


def archive(source: FDBDataSource, *steps: int, param: str = "2t") -> None:
    """Archive fields of some steps by a request that names no more than their date."""
    source.archive(job({"date": SURFACE["date"]}, verb="archive"), (message(param, step) for step in steps))


def files(folder: Path, suffix: str) -> list[Path]:
    return sorted(folder.rglob(f"*{suffix}"))


def described(file: Path) -> str:
    """What GribJump says that an index holds."""
    program = index.find_program()
    assert program is not None
    done = subprocess.run(
        [program.with_name("gribjump-dump-info"), file], capture_output=True, text=True, check=True
    )
    return done.stdout


def test_each_file_of_an_archive_gets_its_index(tmp_path: Path) -> None:
    archive(make(tmp_path, gribjump_index=True), 0, 6, 12)
    [data], [found] = files(tmp_path, ".data"), files(tmp_path, ".gribjump")
    assert found.name == f"{data.name}.gribjump"
    assert described(found).count("numberOfValues") >= 3


@pytest.mark.parametrize("name", ["a space", "per%20cent", "hash#mark", "question?mark"])
def test_the_archive_may_be_in_a_folder_of_any_name(tmp_path: Path, name: str) -> None:
    root = tmp_path / name
    root.mkdir()
    archive(make(root, gribjump_index=True), 0)
    assert len(files(root, ".gribjump")) == 1


def test_an_archive_writes_its_own_index_only(tmp_path: Path) -> None:
    source = make(tmp_path, gribjump_index=True)
    archive(source, 0)
    [first] = files(tmp_path, ".gribjump")
    before = first.stat()
    archive(source, 6)
    assert len(files(tmp_path, ".gribjump")) == len(files(tmp_path, ".data")) == 2
    assert first.stat().st_mtime_ns == before.st_mtime_ns
    assert first.stat().st_ino == before.st_ino


def test_there_is_none_unless_it_is_asked_for(tmp_path: Path) -> None:
    archive(make(tmp_path), 0)
    assert files(tmp_path, ".gribjump") == []


@pytest.mark.parametrize("program", [None, Path("/bin/false"), Path("/nonexistent")])
def test_an_archive_succeeds_without_its_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, program: Path | None
) -> None:
    monkeypatch.setattr(index, "find_program", lambda: program)
    with caplog.at_level(logging.ERROR):
        archive(make(tmp_path, gribjump_index=True), 0)
    assert len(files(tmp_path, ".data")) == 1
    assert "no index" in caplog.text


def test_a_part_of_an_index_does_not_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "program"
    writes = "import sys; [open(f'{path}.gribjump', 'w') for path in sys.argv[1:]]; sys.exit(1)"
    program.write_text(f"#!{sys.executable}\n{writes}\n")
    program.chmod(0o700)
    monkeypatch.setattr(index, "find_program", lambda: program)
    archive(make(tmp_path, gribjump_index=True), 0)
    assert files(tmp_path, ".gribjump") == []


def warnings(config: Any, **jump: Any) -> list[str]:
    settings = {"gribjump_config": {"type": "local", **jump}, "fdb_config": config}
    return list(PolytopeSettings.model_validate(settings).warnings())


class TestTheCheckOfTheConfiguration:
    """What `config check` says of a data source of features."""

    def test_warns_of_an_archive_without_an_index(self, tmp_path: Path) -> None:
        source = make(tmp_path)
        config = source.settings.fdb_config
        assert warnings(config) == []  # nothing is in it yet
        archive(source, 0)
        [warning] = warnings(config)
        assert "no index of GribJump" in warning
        index.write(files(tmp_path, ".data"))
        assert warnings(config) == []

    def test_warns_of_one_that_consists_of_several(self, tmp_path: Path) -> None:
        source = make(tmp_path)
        archive(source, 0)
        select = {"type": "select", "fdbs": [{**source.settings.fdb_config, "select": "class=od"}]}
        [warning] = warnings(select)
        assert "no index of GribJump" in warning
        index.write(files(tmp_path, ".data"))
        assert warnings(select) == []

    def test_cannot_say_where_the_index_or_the_archive_is_elsewhere(self, tmp_path: Path) -> None:
        source = make(tmp_path)
        archive(source, 0)
        assert warnings(source.settings.fdb_config, cache={"directory": "/elsewhere"}) == []
        assert warnings(str(tmp_path / "not-here.yaml")) == []
        assert warnings({"type": "remote", "host": "fdb.example.org", "port": 7654}) == []
        assert warnings({"spaces": [{"roots": [{"path": str(tmp_path / "none")}]}]}) == []

    def test_names_the_package_that_the_key_needs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(index, "find_program", lambda: None)
        config = {"schema": "/etc/fdb/schema"}
        assert "gribjumplib" in "".join(FDBSettings(fdb_config=config, gribjump_index=True).warnings())
        assert list(FDBSettings(fdb_config=config).warnings()) == []


def test_the_page_for_operators_says_how_to_make_it(tmp_path: Path) -> None:
    archive(make(tmp_path), 0)
    script = blocks((DOCS / "operators" / "features.md").read_text(), "sh")[0]
    variables = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "FDB": str(tmp_path)}
    subprocess.run(["bash", "-euc", script], env=variables, check=True, timeout=60)
    assert len(files(tmp_path, ".gribjump")) == 1
