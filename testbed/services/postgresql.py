"""PostgreSQL."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from testbed.services.programs import program
from testbed.services.service import Service


class PostgreSQL(Service):
    """A cluster with the database `polytope`. Never run by root: as the package's own user then."""

    name = "postgresql"
    user, password, database = "tests", "p@ss:of tests", "polytope"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._bin = Path(program(self.name)).parent
        #: Who runs it: it does not run as root. None: the caller.
        self.account = "postgres" if os.geteuid() == 0 else None
        # Not in `folder`: another account may not be able to enter it.
        self.folder = Path(tempfile.mkdtemp(prefix="polytope-postgresql-"))
        if self.account:
            shutil.chown(self.folder, self.account)

    @property
    def variables(self) -> dict[str, str]:
        return {"POSTGRESQL_URL": self.url}

    @property
    def url(self) -> str:
        """The address, with user and password."""
        return f"postgresql://{self.user}:p%40ss%3Aof%20tests@{self.host}:{self.port}/{self.database}"

    def command(self) -> Sequence[str]:
        settings = {
            "listen_addresses": self.host,
            "port": self.port,
            "unix_socket_directories": "",
            "max_connections": 200,
            "shared_buffers": "128MB",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [str(self._bin / "postgres"), "-D", str(self.folder / "data"), *options]

    def start(self) -> None:
        if not (self.folder / "data").exists():
            self._create()
        super().start()
        if not self._query("SELECT 1", self.database):
            self._query(f"CREATE DATABASE {self.database}", "postgres")

    def launch(self, command: Sequence[str], user: str | None = None) -> subprocess.Popen[bytes]:
        return super().launch(command, self.account)

    def ready(self) -> bool:
        return self._query("SELECT 1", "postgres")

    def stop(self) -> None:
        super().stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _create(self) -> None:
        secret = self.folder / "password"
        secret.write_text(self.password)
        if self.account:
            shutil.chown(secret, self.account)
        options = ["--auth=scram-sha-256", f"--username={self.user}", f"--pwfile={secret}", "--encoding=UTF8"]
        command = [str(self._bin / "initdb"), "-D", str(self.folder / "data"), *options, "--locale=C"]
        subprocess.run(command, check=True, capture_output=True, user=self.account, cwd=self.folder)

    def _query(self, statement: str, database: str) -> bool:
        import psycopg

        try:
            with psycopg.connect(
                host=self.host, port=self.port, user=self.user, password=self.password, dbname=database,
                connect_timeout=2, autocommit=True,
            ) as connection:  # fmt: skip
                connection.execute(statement.encode())
        except psycopg.OperationalError:
            return False
        return True
