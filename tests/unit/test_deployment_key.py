import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from polytope_server.authentication.deployment_key import deployment_key


def test_a_key_is_made_once_and_for_this_user_only(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    key = deployment_key(folder)
    assert len(key) == 32
    assert deployment_key(folder) == key
    assert (folder / "secret.key").stat().st_mode & 0o777 == 0o600
    assert os.listdir(folder) == ["secret.key"]


def test_all_who_ask_at_a_time_get_the_same(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(deployment_key, [tmp_path] * 32))
    assert len(keys) == 1
    assert os.listdir(tmp_path) == ["secret.key"]


def test_a_key_of_another_process_is_never_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = deployment_key(tmp_path)
    monkeypatch.setattr(Path, "exists", lambda path: False)  # it came right after the look
    assert deployment_key(tmp_path) == key


def test_an_empty_file_is_not_taken_for_a_key(tmp_path: Path) -> None:
    (tmp_path / "secret.key").touch()
    with pytest.raises(ValueError, match="remove it"):
        deployment_key(tmp_path)
