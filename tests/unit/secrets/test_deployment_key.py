import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from polytope_server.secrets.deployment_key import DeploymentKeys, own_key
from polytope_server.settings import ConfigurationError
from polytope_server.settings.secrets import SecretsSettings


def test_a_key_is_made_once_and_for_this_user_only(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    key = own_key(folder)
    assert len(key) == 32
    assert own_key(folder) == key
    assert (folder / "secret.key").stat().st_mode & 0o777 == 0o600
    assert os.listdir(folder) == ["secret.key"]


def test_all_who_ask_at_a_time_get_the_same(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(own_key, [tmp_path] * 32))
    assert len(keys) == 1
    assert os.listdir(tmp_path) == ["secret.key"]


def test_a_key_of_another_process_is_never_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = own_key(tmp_path)
    monkeypatch.setattr(Path, "exists", lambda path: False)  # it came right after the look
    assert own_key(tmp_path) == key


def test_an_empty_file_is_not_taken_for_a_key(tmp_path: Path) -> None:
    (tmp_path / "secret.key").touch()
    with pytest.raises(ValueError, match="remove it"):
        own_key(tmp_path)


def keys(data: Path, **section: object) -> DeploymentKeys:
    return DeploymentKeys(SecretsSettings.model_validate(section), data)


def test_machines_with_the_same_secret_have_the_same_keys(tmp_path: Path) -> None:
    here, there = (keys(tmp_path / name, keys=["s" * 32]) for name in ("here", "there"))
    assert here.derived("x") == there.derived("x")
    assert list(tmp_path.iterdir()) == []  # nothing is made that is not needed


def test_machines_without_one_have_keys_of_their_own(tmp_path: Path) -> None:
    assert keys(tmp_path / "here").derived("x") != keys(tmp_path / "there").derived("x")
    assert keys(tmp_path / "here").derived("x") == keys(tmp_path / "here").derived("x")


def test_each_purpose_has_a_key_of_its_own(tmp_path: Path) -> None:
    (one,), (other,) = keys(tmp_path).derived("one"), keys(tmp_path).derived("other")
    assert len(one) == len(other) == 32
    assert one != other


def test_the_first_of_several_is_the_current_one(tmp_path: Path) -> None:
    old, new = "o" * 32, "n" * 32
    assert keys(tmp_path, keys=[new, old]).derived("x") == [
        *keys(tmp_path, keys=[new]).derived("x"),
        *keys(tmp_path, keys=[old]).derived("x"),
    ]


def test_a_file_holds_one_a_line(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text(f"{'n' * 32}\n\n{'o' * 32}\n")
    assert keys(tmp_path, file=file).derived("x") == keys(tmp_path, keys=["n" * 32, "o" * 32]).derived("x")


@pytest.mark.parametrize(
    "text", [None, b"", b"short\n", b"\xff" * 40], ids=["none", "empty", "short", "binary"]
)
def test_a_file_that_is_of_no_use_is_named(tmp_path: Path, text: bytes | None) -> None:
    file = tmp_path / "file"
    if text is not None:
        file.write_bytes(text)
    with pytest.raises(ConfigurationError, match=rf"^secrets.file: value '{file}': ") as caught:
        keys(tmp_path, file=file)
    assert "short" not in str(caught.value)
