"""Staging: where results wait for their download, and uploads for their worker."""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field

from polytope_server.runtime.unavailable import UnavailableError

EXTENSIONS = {"application/x-grib": "grib", "application/prs.coverage+json": "covjson"}
#: A name that an object could have, and none has.
_NO_OBJECT = f"none/{'0' * 32}.bin"


class StagingUnavailableError(UnavailableError):
    """The staging cannot be reached, or is full; the caller may try again."""

    role = "staging"


class StagingFullError(StagingUnavailableError):
    """There is no room at the moment; the object is not to blame."""


class LargestObjectError(StagingFullError):
    """There is no room at the moment, and the object was the largest of those that were being written."""


class ObjectTooLargeError(ValueError):
    """The object would not fit if it were alone: to try again is of no use. The text is for the user."""

    def __init__(self, size: int, room: int) -> None:
        """It is to have `size` bytes or more, and there is room for `room`."""
        super().__init__(size, room)
        self.size, self.room = size, room

    def __str__(self) -> str:
        return f"has {self.size} bytes or more; there is room for {self.room}"


class ObjectNotFoundError(KeyError):
    """There is no object of that name."""


class TooSlowError(Exception):
    """The bytes of an object came so slowly that it was given up, for others that wait to be stored."""


class ChecksumError(ValueError):
    """The bytes that came are not those that were announced."""


@dataclass(frozen=True, slots=True)
class StagedObject:
    """What staging knows of an object. Size in bytes, modification time in seconds since the epoch.

    `md5` is empty where the sum is not known, or not yet. `etag` stands for these very bytes, and is empty
    where nothing better than size and time does. Of an object that was just made `modified` may be off by
    seconds, and distinguishes no two of these.
    """

    name: str
    size: int
    content_type: str
    md5: str
    modified: float = field(compare=False)
    etag: str = ""


def new_object_name(request_id: str, content_type: str) -> str:
    """A fresh, unguessable name `<request id>/<128-bit token>.<extension>` (invariant 4)."""
    return f"{request_id}/{secrets.token_hex(16)}.{EXTENSIONS.get(content_type, 'bin')}"


def request_of(name: str) -> str:
    """The id of the request that an object belongs to."""
    return name.partition("/")[0]


class Staging(ABC):
    """Stores objects, written once and read many times, without ever holding one in memory whole."""

    @abstractmethod
    async def open(self) -> None:
        """Connect, and create what the staging needs (idempotent)."""

    @abstractmethod
    async def close(self) -> None:
        """Release all resources."""

    def limit_gathering(self, size: int) -> None:  # noqa: B027 -- most hold little, and need no bound
        """Hold at most `size` bytes at a time of objects that are not complete, or one block of one object.

        For a process whose objects come from clients, which may stall. A staging that needs a large block
        (more than 2 MiB) of an object before it can pass it on lets others wait for room, and may end
        :meth:`create` with :class:`TooSlowError`.
        """

    async def check(self) -> None:
        """Return if objects can be read. Raises :class:`StagingUnavailableError`."""
        with suppress(ObjectNotFoundError):
            await self.stat(_NO_OBJECT)

    @abstractmethod
    async def create(
        self, name: str, chunks: AsyncIterator[bytes], content_type: str, md5: str | None = None
    ) -> StagedObject:
        """Store the chunks as one object. It appears complete or not at all; an empty one is legal.

        Raises :class:`ChecksumError` if an MD5 sum is given, in hex, and the bytes have another one,
        :class:`TooSlowError`, see :meth:`limit_gathering`, and :class:`StagingFullError` and
        :class:`ObjectTooLargeError`, where the staging knows what room it has.
        """

    async def room(self) -> int | None:
        """Bytes that may be stored at present, less than 0 if a reserve is touched; None where not known."""
        return None

    async def admit(self, size: int) -> None:
        """Return if an object of `size` bytes may come, as far as this is known before it does.

        Raises :class:`StagingFullError` and :class:`ObjectTooLargeError`. Others may take the room meanwhile.
        """
        return

    @abstractmethod
    async def stat(self, name: str) -> StagedObject:
        """What is known of an object. Raises :class:`ObjectNotFoundError`."""

    @abstractmethod
    def read(self, name: str, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """The bytes from `start` on, `length` of them or all. Raises :class:`ObjectNotFoundError`."""

    @abstractmethod
    async def delete(self, name: str) -> bool:
        """Remove an object; False if there was none."""

    @abstractmethod
    async def delete_request(self, request_id: str) -> int:
        """Remove all objects of a request; returns how many there were."""

    @abstractmethod
    def list(self) -> AsyncIterator[StagedObject]:
        """All objects, read page by page; those of one request follow each other, else there is no order.

        Whether one is listed that is made or deleted meanwhile is open. `content_type`, `md5` and `etag` may
        be empty here.
        """

    @abstractmethod
    async def abandoned(self, before: float) -> int:
        """Remove what was left behind by writes whose last bytes came before that time; returns how many."""

    @abstractmethod
    def public_url(self, name: str) -> str | None:
        """The absolute address of an object for clients, None where the frontend serves it."""
