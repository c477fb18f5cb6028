import socket
from pathlib import Path

import pytest

from polytope_server.notices import Notice, Topic
from polytope_server.notices.local import LocalNotices, LocalNoticesSettings
from polytope_server.testing.notices import Connect, NoticesContract
from polytope_server.testing.waiting import until


class TestLocalNotices(NoticesContract):
    @pytest.fixture
    def connect(self, tmp_path: Path) -> Connect:
        return lambda: LocalNotices(LocalNoticesSettings(), tmp_path / ("deep" * 30))

    async def test_the_socket_of_a_killed_process_is_removed(self, tmp_path: Path) -> None:
        notices = LocalNotices(LocalNoticesSettings(), tmp_path)
        await notices.open()
        received: list[Notice] = []
        await notices.subscribe({Topic.ENDED}, received.append)
        left = tmp_path / "run" / "notices" / "ended" / "1-dead"
        dead = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        dead.bind(str(left))
        dead.close()
        notices.publish(Topic.ENDED, "a")
        await until(lambda: received)
        assert not left.exists()
        await notices.close()
