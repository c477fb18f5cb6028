"""Temporary folders of data sources, and what is left of those of killed processes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from polytope_server.datasource.working_folder import WorkingFolder, remove_left_behind

PREFIX = "test-folder-"


def test_a_folder_is_there_for_the_time_of_the_block(tmp_path: Path) -> None:
    with WorkingFolder(PREFIX, tmp_path) as folder:
        (folder.path / "file").write_text("x")
        assert folder.path.parent == tmp_path
        assert folder.path.stat().st_mode & 0o777 == 0o700
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_use_stays(tmp_path: Path) -> None:
    with WorkingFolder(PREFIX, tmp_path) as folder:
        remove_left_behind(PREFIX, tmp_path)
        assert folder.path.exists()


def test_a_folder_is_in_use_as_long_as_a_process_has_its_lock(tmp_path: Path) -> None:
    with WorkingFolder(PREFIX, tmp_path) as folder:
        inherited = os.dup(folder.lock)
        os.close(folder.lock)
        remove_left_behind(PREFIX, tmp_path)
        assert folder.path.exists()
        os.close(inherited)
        remove_left_behind(PREFIX, tmp_path)
        assert not folder.path.exists()
        folder.lock = os.open(tmp_path, os.O_RDONLY)


def test_only_folders_with_the_prefix_are_removed(tmp_path: Path) -> None:
    (tmp_path / f"{PREFIX}left").mkdir()
    (tmp_path / f"{PREFIX}left" / "file").write_text("x")
    (tmp_path / "other").mkdir()
    (tmp_path / f"{PREFIX}file").write_text("x")
    (tmp_path / f"{PREFIX}link").symlink_to(tmp_path / "other")
    remove_left_behind(PREFIX, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", f"{PREFIX}file", f"{PREFIX}link"]


def test_a_folder_that_is_taken_for_left_behind_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    open_ = os.open

    def late(path: Path, *arguments: Any, **options: Any) -> int:
        if Path(path).name.startswith(PREFIX) and not made:
            made.append(path)
            remove_left_behind(PREFIX, tmp_path)
        return open_(path, *arguments, **options)

    monkeypatch.setattr(os, "open", late)
    with WorkingFolder(PREFIX, tmp_path) as folder:
        assert folder.path not in made
        assert folder.path.exists()
