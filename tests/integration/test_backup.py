"""docs/backup.md: what is copied while a server runs is restored in the order that the page gives."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from polytope_server.testing.waiting import until
from testbed.server import StandaloneServer

pytestmark = pytest.mark.unmeasured


async def test_a_backup_of_a_running_server_is_restored(tmp_path: Path) -> None:
    data, backup = tmp_path / "data", tmp_path / "backup"
    config = {"garbage-collector": {"interval": 0.2, "orphan_age": 0}}
    backup.mkdir()
    with StandaloneServer(data, config) as server, server.session() as session:
        kept = server.submit(session, "echo", "kept")
        assert server.result(session, kept) == b"kept"
        # The database first, so that the copy of the results has all that it knows of.
        with closing(sqlite3.connect(data / "polytope.sqlite")) as connection:
            connection.execute("VACUUM INTO ?", [str(backup / "polytope.sqlite")])
        later = server.submit(session, "echo", "later")
        assert server.result(session, later) == b"later"
        shutil.copytree(data / "staging", backup / "staging")
        shutil.copy2(data / "secret.key", backup)
    shutil.rmtree(data)

    data.mkdir(mode=0o700)
    for name in ("staging", "secret.key", "polytope.sqlite"):
        source = backup / name
        (shutil.copytree if source.is_dir() else shutil.copy2)(source, data / name)
    with StandaloneServer(data, config) as server, server.session() as session:
        assert server.result(session, kept) == b"kept"
        assert server.poll(session, later).status_code == 404
        # The result of the request that was lost is removed, and no other.
        await until(lambda: not (data / "staging" / "objects" / later).exists())
        assert server.result(session, kept) == b"kept"
        assert server.result(session, server.submit(session, "echo", "new")) == b"new"
