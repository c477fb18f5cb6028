"""Notices between the processes of one machine, by Unix datagrams.

Each subscription is a socket in a folder named after its topic; a publisher sends to all that it finds
there. There is no server in between, so nothing that could be down.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from pydantic import BaseModel, ConfigDict

from polytope_server.notices import ABOUT_REQUESTS, Notice, Notices, Topic
from polytope_server.runtime import local_sockets

#: Ids in one datagram, and their characters; these fit the socket buffers of every system.
_BATCH, _DATAGRAM = 512, 20_000
#: The most ids, and longer texts, that are kept for a subscriber that does not keep up; further ones are lost
#: to it.
_BACKLOG, _TEXT_BACKLOG = 20_000, 2000
#: Seconds after which a folder is read again even if it seems unchanged: its time stamp is coarse.
_RESCAN = 1.0


class LocalNoticesSettings(BaseModel):
    """This back-end has no keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass
class _Peer:
    """A subscriber's socket, and the ids that it could not take yet."""

    connection: socket.socket
    waiting: list[str] = field(default_factory=list)


@dataclass
class _Subscribers:
    """The subscribers of one topic."""

    folder: Path
    peers: dict[str, _Peer] = field(default_factory=dict)
    stamp: int = -1
    scanned: float = 0.0


class LocalNotices(Notices):
    """Publishes to, and receives from, sockets in `DIR/run/notices/TOPIC/`."""

    Settings = LocalNoticesSettings

    def __init__(self, settings: LocalNoticesSettings, data: Path) -> None:
        self._folder = data / "run" / "notices"
        self._topics: dict[Topic, _Subscribers] = {}
        self._pending: dict[Topic, list[str]] = {}
        self._own: list[tuple[socket.socket, Path]] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    async def open(self) -> None:
        self._loop = asyncio.get_running_loop()
        for topic in Topic:
            self._topics[topic] = _Subscribers(local_sockets.folder(self._folder / topic))

    def publish(self, topic: Topic, *request_ids: str) -> None:
        if self._loop is None or not request_ids:
            return
        # What is published in one turn of the event loop goes out together.
        if not self._pending:
            self._loop.call_soon(self._flush)
        self._pending.setdefault(topic, []).extend(request_ids)

    def _flush(self) -> None:
        pending, self._pending = self._pending, {}
        for topic, request_ids in pending.items():
            subscribers = self._topics[topic]
            self._scan(subscribers)
            backlog = _BACKLOG if topic in ABOUT_REQUESTS else _TEXT_BACKLOG
            for name, peer in list(subscribers.peers.items()):
                peer.waiting += request_ids[: max(0, backlog - len(peer.waiting))]
                self._send_to(subscribers, name)

    def _scan(self, subscribers: _Subscribers) -> None:
        """Bring the list of subscribers up to date."""
        stamp, now = subscribers.folder.stat().st_mtime_ns, time.monotonic()
        if stamp == subscribers.stamp and now - subscribers.scanned < _RESCAN:
            return
        subscribers.stamp, subscribers.scanned = stamp, now
        names = {entry.name for entry in os.scandir(subscribers.folder) if not entry.name.startswith(".")}
        for name in subscribers.peers.keys() - names:
            self._drop(subscribers, name)
        for name in names - subscribers.peers.keys():
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            try:
                connection.connect(local_sockets.address(subscribers.folder / name))
            except ConnectionRefusedError:  # its process is dead
                connection.close()
                (subscribers.folder / name).unlink(missing_ok=True)
            except OSError:
                connection.close()
            else:
                subscribers.peers[name] = _Peer(connection)

    def _send_to(self, subscribers: _Subscribers, name: str) -> None:
        assert self._loop is not None  # noqa: S101 -- publish checked it
        peer = subscribers.peers[name]
        try:
            while peer.waiting:
                count = _fitting(peer.waiting)
                peer.connection.send("\n".join(peer.waiting[:count]).encode())
                del peer.waiting[:count]
        except BlockingIOError:  # the kernel keeps only a few datagrams for each receiver
            self._loop.add_writer(peer.connection, self._resume, subscribers, name)
        except ConnectionRefusedError:  # its process is dead
            self._drop(subscribers, name)
            (subscribers.folder / name).unlink(missing_ok=True)
        except OSError:  # not for ever: it is found again when the folder is read again
            self._drop(subscribers, name)
            subscribers.stamp = -1

    def _resume(self, subscribers: _Subscribers, name: str) -> None:
        assert self._loop is not None  # noqa: S101 -- only _send_to asks for this
        peer = subscribers.peers.get(name)
        if peer is not None:
            self._loop.remove_writer(peer.connection)
            self._send_to(subscribers, name)

    def _drop(self, subscribers: _Subscribers, name: str) -> None:
        peer = subscribers.peers.pop(name)
        if self._loop is not None:
            self._loop.remove_writer(peer.connection)
        peer.connection.close()

    async def subscribe(self, topics: set[Topic], receive: Callable[[Notice], None]) -> None:
        for topic in topics:
            path = self._topics[topic].folder / f"{os.getpid()}-{uuid4().hex[:8]}"
            # Bound under a hidden name first: a publisher must not find a socket that is not ready.
            hidden = path.with_name(f".{path.name}")
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            connection.bind(local_sockets.address(hidden))
            asyncio.get_running_loop().add_reader(connection, _receive, connection, topic, receive)
            hidden.rename(path)
            self._own.append((connection, path))

    async def close(self) -> None:
        if self._pending:
            self._flush()
        loop, self._loop = asyncio.get_running_loop(), None
        for connection, path in self._own:
            loop.remove_reader(connection)
            connection.close()
            path.unlink(missing_ok=True)
        self._own.clear()
        for subscribers in self._topics.values():
            for peer in subscribers.peers.values():
                loop.remove_writer(peer.connection)
                peer.connection.close()
            subscribers.peers.clear()


def _fitting(texts: list[str]) -> int:
    """How many of the first texts go into one datagram: one at least."""
    size = 0
    for number, text in enumerate(texts[:_BATCH]):
        size += len(text) + 1
        if size > _DATAGRAM and number:
            return number
    return min(len(texts), _BATCH)


def _receive(connection: socket.socket, topic: Topic, receive: Callable[[Notice], None]) -> None:
    # A bounded number at a time, so that a flood of notices does not keep the loop from other work.
    with suppress(BlockingIOError):
        for _ in range(64):
            for request_id in connection.recv(1 << 16).decode().split("\n"):
                receive(Notice(topic, request_id))
