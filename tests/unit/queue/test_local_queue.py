import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

from polytope_server.queue import Message
from polytope_server.queue.local import LocalQueue, LocalQueueSettings
from polytope_server.runtime import local_sockets
from polytope_server.testing.queue import Connect, Consumer, QueueContract
from polytope_server.testing.waiting import until


class TestLocalQueue(QueueContract):
    @pytest.fixture
    def connect(self, tmp_path: Path) -> Connect:
        # A deep folder: the address of a Unix socket must not grow with it.
        return lambda: LocalQueue(LocalQueueSettings(), tmp_path / ("deep" * 30))

    async def test_a_message_that_is_there_already_is_not_added_again(self, make: Connect) -> None:
        publisher = await self._publisher(make)
        await publisher.publish([Message("a"), Message("a")])
        await publisher.publish([Message("a")])
        assert await publisher.count() == 1

    async def test_a_message_in_hands_is_not_added_again(self, make: Connect) -> None:
        publisher = await self._publisher(make)
        consumer: Consumer = await self._consumer(make, 5)
        await publisher.publish([Message("a")])
        await until(lambda: consumer.ids == ["a"])
        await publisher.publish([Message("a"), Message("b")])
        await until(lambda: consumer.ids == ["a", "b"])

    async def test_a_worker_takes_messages_of_a_later_broker(self, make: Connect, tmp_path: Path) -> None:
        """It may say more of a message than this version knows."""
        answers: list[bytes] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"D 1 default a more words\n")
            with suppress(asyncio.IncompleteReadError):
                while True:
                    answers.append(await reader.readuntil(b"\n"))
            writer.close()

        path = tmp_path / ("deep" * 30) / "run" / "queue.sock"
        path.parent.mkdir(parents=True)
        server = await asyncio.start_unix_server(serve, local_sockets.address(path))
        consumer: Consumer = await self._consumer(make, 5)
        await until(lambda: consumer.ids == ["a"])
        server.close()

    async def test_a_peer_that_never_ends_its_line_is_disconnected(
        self, make: Connect, tmp_path: Path
    ) -> None:
        publisher = await self._publisher(make)
        path = next(tmp_path.rglob("queue.sock"))
        reader, writer = await asyncio.open_unix_connection(local_sockets.address(path))
        writer.write(b"x" * 1_000_000)
        with suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), 20) == b""
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        await publisher.publish([Message("a")])
        assert await publisher.count() == 1


async def test_a_server_that_closes_leaves_no_connection_that_has_not_said_what_it_consumes(
    tmp_path: Path,
) -> None:
    """Else a worker that connects while its broker loses leadership waits for ever."""
    publisher = LocalQueue(LocalQueueSettings(), tmp_path)
    await publisher.open_publisher()
    (path,) = tmp_path.rglob("queue.sock")
    reader, writer = await asyncio.open_unix_connection(path)
    await publisher.close()
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    writer.close()
