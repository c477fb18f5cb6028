import asyncio
import json
import os
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from polytope_server.staging import Staging, StagingUnavailableError, local
from polytope_server.staging.local import LocalStaging, LocalStagingSettings
from polytope_server.staging.local import files as local_files
from polytope_server.staging.local.files import ObjectExistsError, Writer
from polytope_server.staging.names import new_object_name
from polytope_server.testing.staging import StagingContract, chunked, read
from polytope_server.testing.waiting import until


class TestLocalStaging(StagingContract):
    @pytest.fixture
    async def staging(self, tmp_path: Path) -> AsyncIterator[Staging]:
        staging = LocalStaging(LocalStagingSettings(), tmp_path)
        await staging.open()
        yield staging
        await staging.close()

    async def test_without_its_meta_file_the_name_tells_the_type(
        self, staging: Staging, tmp_path: Path
    ) -> None:
        made = await self._put(staging)
        (tmp_path / "staging" / "objects" / f"{made.name}.meta").unlink()
        found = await staging.stat(made.name)
        assert (found.content_type, found.md5) == ("application/x-grib", "")

    async def test_what_a_later_version_keeps_beside_an_object_stays(
        self, staging: LocalStaging, tmp_path: Path
    ) -> None:
        name = (await self._put(staging)).name
        (meta,) = tmp_path.rglob("*.meta")
        kept = json.loads(meta.read_text()) | {"compression": "none"}
        meta.write_text(json.dumps(kept))
        staging.set_md5(name, "0" * 32)
        assert json.loads(meta.read_text()) == kept | {"md5": "0" * 32}
        assert (await staging.stat(name)).md5 == "0" * 32

    async def test_however_many_objects_a_folder_has_few_are_listed_in_one_turn(
        self, staging: LocalStaging, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(local, "_LISTED", 2)
        made = {(await self._put(staging)).name for _ in range(5)}
        turns = []
        loop = asyncio.get_running_loop()
        run = loop.run_in_executor

        async def counted(*arguments: Any) -> Any:
            turns.append(await run(*arguments))
            return turns[-1]

        monkeypatch.setattr(loop, "run_in_executor", counted)
        assert {found.name async for found in staging.list()} == made
        assert [len(turn) for turn in turns[1:]] == [2, 2, 1, 0]

    async def test_what_a_killed_writer_left_is_removed(self, staging: Staging, tmp_path: Path) -> None:
        left = tmp_path / "staging" / "unfinished" / "left"
        left.write_bytes(b"x")
        os.utime(left, (1000, 1000))
        assert await staging.abandoned(time.time() - 60) == 1
        assert not left.exists()

    async def test_a_folder_that_a_killed_writer_left_empty_is_removed(
        self, staging: Staging, tmp_path: Path
    ) -> None:
        kept = await self._put(staging)
        left = tmp_path / "staging" / "objects" / "left"
        left.mkdir()
        await staging.abandoned(time.time() + 60)
        assert not left.exists()
        assert (await staging.stat(kept.name)).size == 4

    async def test_an_object_that_comes_into_an_old_folder_while_that_is_removed_stays(
        self, staging: Staging, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = tmp_path / "staging" / "objects" / "r1"
        folder.mkdir()
        (folder / "lost.grib.meta").touch()
        (folder / "new.grib.meta").touch()
        real = local_files.remove_empty_folder

        def late(folder: Path) -> None:
            (folder / "new.grib").touch()
            real(folder)

        monkeypatch.setattr(local_files, "remove_empty_folder", late)
        await staging.abandoned(time.time() + 60)
        assert {path.name for path in folder.iterdir()} == {"new.grib", "new.grib.meta"}

    @pytest.mark.parametrize("moment", ["_write", "link"])
    async def test_giving_up_while_the_disk_works_leaves_nothing(
        self, staging: Staging, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
    ) -> None:
        reached, go_on = threading.Event(), threading.Event()
        owner: Any = Writer if moment == "_write" else os
        real = getattr(owner, moment)

        def slow(*arguments: Any) -> Any:
            reached.set()
            assert go_on.wait(20)
            return real(*arguments)

        monkeypatch.setattr(owner, moment, slow)
        writing = asyncio.create_task(self._put(staging))
        await asyncio.to_thread(reached.wait, 20)
        writing.cancel()
        threading.Timer(0.01, go_on.set).start()  # discard() waits for the thread, which waits for this
        with pytest.raises(asyncio.CancelledError):
            await writing
        assert not list((tmp_path / "staging" / "unfinished").iterdir())
        assert not list((tmp_path / "staging" / "objects").iterdir())

    async def test_giving_up_twice_leaves_nothing(
        self, staging: Staging, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        reached, go_on = threading.Event(), threading.Event()
        real = Writer.discard

        def slow(writer: Writer) -> None:
            reached.set()
            assert go_on.wait(20)
            real(writer)

        async def endless() -> AsyncIterator[bytes]:
            while True:
                yield b"x" * 2_000_000

        monkeypatch.setattr(Writer, "discard", slow)
        writing = asyncio.create_task(staging.create(new_object_name("r1", ""), endless(), ""))
        await until(lambda: list((tmp_path / "staging" / "unfinished").iterdir()))
        for _ in range(3):
            writing.cancel()
            await asyncio.to_thread(reached.wait, 20)
        assert not writing.done()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await writing
        assert not list((tmp_path / "staging" / "unfinished").iterdir())

    async def test_an_object_is_not_replaced(self, staging: Staging) -> None:
        made = await self._put(staging)
        with pytest.raises(ObjectExistsError):
            await staging.create(made.name, chunked([b"other"]), made.content_type)
        assert await read(staging, made.name) == b"data"
        assert await staging.abandoned(time.time() + 60) == 0

    async def test_a_folder_that_is_removed_meanwhile_is_made_again(
        self, staging: Staging, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real, times = os.link, []

        def removed_before(source: Path, target: Path) -> None:
            times.append(target)
            if len(times) == 1:
                target.parent.rmdir()
            real(source, target)

        monkeypatch.setattr(os, "link", removed_before)
        made = await self._put(staging)
        assert (await read(staging, made.name), len(times)) == (b"data", 2)

    async def test_the_folder_is_closed_to_others(self, staging: Staging, tmp_path: Path) -> None:
        assert (tmp_path / "staging" / "objects").stat().st_mode & 0o077 == 0

    async def test_a_folder_that_cannot_be_made_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "staging").write_text("a file")
        with pytest.raises(StagingUnavailableError, match="cannot make the staging folder"):
            await LocalStaging(LocalStagingSettings(), tmp_path).open()

    async def test_a_full_disk_is_unavailable(
        self, staging: Staging, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(_: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(StagingUnavailableError, match="No space left"):
            await self._put(staging)
        assert await staging.abandoned(time.time() + 60) == 0
