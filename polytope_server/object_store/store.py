"""The objects: a local folder, with a quota, and a way to end what is being written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from polytope_server.object_store.late_sums import LateSums
from polytope_server.object_store.space import Space
from polytope_server.staging import ObjectNotFoundError, StagedObject
from polytope_server.staging.local import LocalStaging, LocalStagingSettings
from polytope_server.staging.local.files import ObjectExistsError
from polytope_server.staging.polytope import PolytopeStagingSettings

#: The MD5 sum of a larger object is computed when it is there, since it takes longer than all the rest.
_MD5_AT_ONCE = 16 << 20


class WriteEndedError(RuntimeError):
    """The object was removed while it was written."""


class Store:
    """Reads go to `staging`; what changes the sum of all objects goes through here.

    `sums` computes the MD5 sums that are missing.
    """

    def __init__(self, settings: PolytopeStagingSettings, data: Path) -> None:
        self.staging = LocalStaging(
            LocalStagingSettings(root_dir=settings.root_dir, reserve=settings.reserve),
            data,
            md5_up_to=_MD5_AT_ONCE,
        )
        self.sums = LateSums(self.staging)
        self._space = Space(settings.quota, self.staging.disk)
        self._has_quota = settings.quota is not None
        self._writing: dict[str, asyncio.Task[StagedObject]] = {}

    async def open(self) -> None:
        """Make the folder, and count what is in it if there is a quota."""
        await self.staging.open()
        self.sums.open()
        if self._has_quota:
            async for found in self.staging.list():
                self._space.count(found.size)

    async def close(self) -> None:
        """Release all resources."""
        # It may still read a block.
        await asyncio.to_thread(self.sums.close)
        await self.staging.close()

    async def create(
        self, name: str, chunks: AsyncIterator[bytes], content_type: str, announced: int, md5: str | None
    ) -> StagedObject:
        """Write one object, of which `announced` bytes are known to come.

        Raises ObjectExistsError, ChecksumError if the bytes do not have the MD5 sum, StagingFullError,
        ObjectTooLargeError, and WriteEndedError if the object is deleted meanwhile.
        """
        if name in self._writing or await self._exists(name):
            raise ObjectExistsError("there is an object of that name already")
        with self._space.share(announced) as share:
            task = asyncio.create_task(self.staging.create(name, share.counted(chunks), content_type, md5))
            self._writing[name] = task
            task.add_done_callback(lambda _: self._writing.pop(name))
            try:
                await asyncio.wait([task])
            finally:
                # Only what was not waited for to the end.
                task.cancel()
            if task.cancelled():
                raise WriteEndedError("the object was removed while it was written")
            made = task.result()
            share.keep()
            self.sums.want(made)
            return made

    def room(self) -> int:
        """Bytes that may be stored at present. Raises OSError."""
        return self._space.left()

    def admit(self, size: int) -> None:
        """Return if an object of `size` bytes may come. Raises StagingFullError, ObjectTooLargeError."""
        self._space.admit(size)

    async def _exists(self, name: str) -> bool:
        try:
            await self.staging.stat(name)
        except ObjectNotFoundError:
            return False
        return True

    async def delete(self, name: str) -> bool:
        """Remove an object, or end its writing and wait until nothing is left; False if there is none."""
        if task := self._writing.get(name):
            task.cancel()
            await asyncio.wait([task])
            if task.cancelled():
                return True
        try:
            size = (await self.staging.stat(name)).size
        except ObjectNotFoundError:
            return False
        removed = await self.staging.delete(name)
        if removed:
            self._space.give_back(size)
        return removed

    async def delete_request(self, request_id: str) -> int:
        """Remove all objects of a request; returns how many there were."""
        found = await self.staging.of_request(request_id)
        return sum([await self.delete(each.name) for each in found])
