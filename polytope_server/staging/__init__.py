"""Staging: where results wait for their download, and uploads for their worker."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field

from polytope_server.media_types import OCTET_STREAM, extension
from polytope_server.runtime.unavailable import UnavailableError

#: A name that an object could have, and none has.
_NO_OBJECT = f"none/{'0' * 32}.{extension(OCTET_STREAM)}"


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


class Staging(ABC):
    """Stores objects, written once and read many times, without ever holding one in memory whole."""

    @abstractmethod
    async def open(self) -> None:
        """Connect, and create what the staging needs (idempotent).

        Raises:
            StagingUnavailableError: It cannot be reached, or cannot be used as it is configured.
        """

    @abstractmethod
    async def close(self) -> None:
        """Release all resources."""

    def limit_gathering(self, size: int) -> None:  # noqa: B027 -- most hold little, and need no bound
        """Hold at most `size` bytes at a time of objects that are not complete, or one block of one object.

        For a process whose objects come from clients, which may stall. A staging that needs a large block
        (more than 2 MiB) of an object before it can pass it on lets others wait for room, and may end
        :meth:`create` with :class:`TooSlowError`.

        Args:
            size: In bytes, of all objects together.
        """

    async def check(self) -> None:
        """Return if objects can be read.

        Raises:
            StagingUnavailableError: They cannot.
        """
        with suppress(ObjectNotFoundError):
            await self.stat(_NO_OBJECT)

    @abstractmethod
    async def create(
        self, name: str, chunks: AsyncIterator[bytes], content_type: str, md5: str | None = None
    ) -> StagedObject:
        """Store the chunks as one object. It appears complete or not at all; an empty one is legal.

        Args:
            name: Made by :func:`new_object_name`.
            chunks: The bytes. What they raise ends the call, and nothing is stored.
            content_type: Their media type.
            md5: Their MD5 sum in hex, if it is known before.

        Returns:
            The object as it is stored.

        Raises:
            ChecksumError: The bytes have another MD5 sum than the one given.
            TooSlowError: They came too slowly, see :meth:`limit_gathering`.
            StagingFullError: There is no room at the moment, where the staging knows what room it has.
            ObjectTooLargeError: There would be no room for the object even in an empty staging.
            StagingUnavailableError: The object could not be stored.
        """

    async def room(self) -> int | None:
        """Say how much room there is.

        Returns:
            Bytes that may be stored at present, less than 0 if a reserve is touched; None where not known.

        Raises:
            StagingUnavailableError: The staging cannot be reached.
        """
        return None

    async def admit(self, size: int) -> None:
        """Return if an object may come, as far as this is known before it does.

        Others may take the room meanwhile.

        Args:
            size: Of the object, in bytes.

        Raises:
            StagingFullError: There is no room at the moment.
            ObjectTooLargeError: There would be none even in an empty staging.
            StagingUnavailableError: The staging cannot be reached.
        """
        return

    @abstractmethod
    async def stat(self, name: str) -> StagedObject:
        """Look an object up.

        Args:
            name: Any text; one that cannot be the name of an object is not found.

        Returns:
            What is known of the object.

        Raises:
            ObjectNotFoundError: There is none of that name.
            StagingUnavailableError: The staging cannot be reached.
        """

    @abstractmethod
    def read(self, name: str, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """Read an object, or a part of it.

        Args:
            name: That of the object.
            start: The first byte, from 0.
            length: How many bytes; None for all from there on.

        Returns:
            The bytes, in chunks.

        Raises:
            ObjectNotFoundError: There is none of that name; raised by the first chunk.
            StagingUnavailableError: The staging cannot be reached; raised by any chunk.
        """

    @abstractmethod
    async def delete(self, name: str) -> bool:
        """Remove an object.

        Args:
            name: The name of the object.

        Returns:
            Whether there was such an object.

        Raises:
            StagingUnavailableError: The staging cannot be reached.
        """

    @abstractmethod
    async def delete_request(self, request_id: str) -> int:
        """Remove all objects of a request.

        Args:
            request_id: The id of the request.

        Returns:
            How many objects there were.

        Raises:
            StagingUnavailableError: The staging cannot be reached.
        """

    @abstractmethod
    def list(self) -> AsyncIterator[StagedObject]:
        """List all objects, read page by page.

        Whether one is listed that is made or deleted meanwhile is open.

        Returns:
            The objects. Those of one request follow each other; else there is no order. `content_type`, `md5`
            and `etag` may be empty.

        Raises:
            StagingUnavailableError: The staging cannot be reached; raised by any object.
        """

    @abstractmethod
    async def abandoned(self, before: float) -> int:
        """Remove what was left behind by writes that were never completed.

        Args:
            before: Seconds since the epoch: writes whose last bytes came later may still go on.

        Returns:
            How many such writes there were.

        Raises:
            StagingUnavailableError: The staging cannot be reached.
        """

    @abstractmethod
    def public_url(self, name: str) -> str | None:
        """Find the address at which clients download an object.

        Args:
            name: The name of the object.

        Returns:
            The absolute address; None where the frontend serves the object.
        """
