"""MD5 sums that are computed when an object is there already."""

import hashlib
import os
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from polytope_server.object_store.late_sums import LateSums
from polytope_server.staging.local import LocalStaging, LocalStagingSettings
from polytope_server.staging.local.files import stat
from polytope_server.staging.names import new_object_name
from polytope_server.testing.staging import GRIB, chunked, names, read
from polytope_server.testing.waiting import until

LARGEST = 1 << 20
DATA = b"x" * (3 << 20)


@pytest.fixture
async def staging(tmp_path: Path) -> AsyncIterator[LocalStaging]:
    staging = LocalStaging(LocalStagingSettings(), tmp_path, md5_up_to=LARGEST)
    await staging.open()
    yield staging
    await staging.close()


@pytest.fixture
def sums(staging: LocalStaging) -> Iterator[LateSums]:
    sums = LateSums(staging)
    sums.open()
    yield sums
    sums.close()


async def test_a_large_object_gets_its_sum_later(staging: LocalStaging, sums: LateSums) -> None:
    name = new_object_name("r1", GRIB)
    made = await staging.create(name, chunked([DATA]), GRIB)
    assert made.md5 == ""
    sums.want(made)
    await until(lambda: found_md5(staging, name))
    found = await staging.stat(name)
    assert found.md5 == hashlib.md5(DATA).hexdigest()
    assert (found.etag, found.content_type, found.modified) == (made.etag, made.content_type, made.modified)
    assert await read(staging, name) == DATA


async def test_up_to_the_limit_it_is_known_at_once(staging: LocalStaging) -> None:
    made = await staging.create(new_object_name("r1", GRIB), chunked([b"x" * LARGEST]), GRIB)
    assert made.md5 == hashlib.md5(b"x" * LARGEST).hexdigest()


async def test_an_object_that_is_removed_meanwhile_stays_removed(
    staging: LocalStaging, sums: LateSums, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether before its sum is known, or between that and the moment in which it is written down."""
    reached, removed = threading.Event(), threading.Event()
    replace = Path.replace

    def waiting(draft: Path, target: Path) -> Path:
        reached.set()
        assert removed.wait(20)
        return replace(draft, target)

    monkeypatch.setattr(Path, "replace", waiting)
    first, second, other = [
        await staging.create(new_object_name("r1", GRIB), chunked([DATA]), GRIB) for _ in range(3)
    ]
    sums.want(first)
    sums.want(second)
    await until(reached.is_set)
    assert await staging.delete(first.name)
    assert await staging.delete(second.name)
    removed.set()
    sums.want(other)
    await until(lambda: found_md5(staging, other.name))
    assert await names(staging) == {other.name}
    folder = tmp_path / "staging" / "objects" / "r1"
    assert {path.name.removesuffix(".meta") for path in folder.iterdir()} == {other.name.removeprefix("r1/")}
    assert not list((tmp_path / "staging" / "unfinished").iterdir())


async def test_it_ends_in_the_middle_of_an_object(staging: LocalStaging, tmp_path: Path) -> None:
    """When the process ends it must not read on for minutes."""
    made = await staging.create(new_object_name("r1", GRIB), chunked([DATA]), GRIB)
    path = tmp_path / "staging" / "objects" / made.name
    path.unlink()
    os.mkfifo(path)  # an object without end
    sums = LateSums(staging)
    sums.open()
    sums.want(made)
    with path.open("wb", buffering=0) as endless:
        endless.write(b"x" * (32 << 10))
        closing = threading.Thread(target=sums.close)
        closing.start()
        with suppress(BrokenPipeError):  # it has ended already
            endless.write(b"x" * (32 << 10))
        closing.join(20)
        assert not closing.is_alive()


async def test_what_cannot_be_read_is_logged(
    staging: LocalStaging, sums: LateSums, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made = await staging.create(new_object_name("r1", GRIB), chunked([DATA]), GRIB)

    def broken(*_: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(staging, "set_md5", broken)
        sums.want(made)
        await until(lambda: "cannot be computed: Input/output error" in caplog.text)
    assert made.name not in caplog.text
    await until(lambda: asked_again(sums, staging, made.name))


def found_md5(staging: LocalStaging, name: str) -> bool:
    return bool(stat(staging.path_of(name)).md5)


def asked_again(sums: LateSums, staging: LocalStaging, name: str) -> bool:
    """A later question makes up for a failure."""
    found = stat(staging.path_of(name))
    sums.want(found)
    return bool(found.md5)
