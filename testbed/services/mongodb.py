"""MongoDB: one server, or a replica set."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pymongo
from pymongo.errors import PyMongoError

from testbed.services.programs import program
from testbed.services.service import Service, end, free_port

_SET = "rs0"


class MongoDB(Service):
    """`members` servers that form a replica set, or one stand-alone server if that is 0.

    With `auth` they ask for the user `tests` with `password`, who may do everything. They notice after
    `election` seconds that their primary is gone.
    """

    name = "mongodb"
    user, password = "tests", "p@ss:word/of tests"

    def __init__(self, folder: Path, members: int = 1, auth: bool = False, election: float = 2.0) -> None:
        super().__init__(folder)
        self._election = election
        self._replicated = members > 0
        self._auth = auth
        self._ports = [self.port, *(free_port() for _ in range(members - 1))]
        #: The processes of the set but the first, in the order of their ports.
        self.members: list[subprocess.Popen[bytes]] = []
        self._key = self.folder / "key"
        self._key.write_text(secrets.token_hex(64))
        self._key.chmod(0o600)
        self._known = False

    @property
    def variables(self) -> dict[str, str]:
        known = (self.user, self.password) if self._auth else ("", "")
        return {"MONGODB_URI": self.uri, "MONGODB_USERNAME": known[0], "MONGODB_PASSWORD": known[1]}

    @property
    def uri(self) -> str:
        """The address, without user and password."""
        hosts = ",".join(f"{self.host}:{port}" for port in self._ports)
        return f"mongodb://{hosts}/" + (f"?replicaSet={_SET}" if self._replicated else "")

    def command(self) -> Sequence[str]:
        return self._command(self.port)

    def _command(self, port: int) -> Sequence[str]:
        data = self.folder / str(port)
        data.mkdir(exist_ok=True)
        replicated = ("--replSet", _SET) if self._replicated else ()
        keyed = ("--keyFile", str(self._key)) if self._replicated else ("--auth",)
        return [
            *(program(self.name), "--dbpath", str(data), "--port", str(port), "--bind_ip", self.host),
            *("--nounixsocket", "--wiredTigerCacheSizeGB", "0.25", *replicated),
            *(keyed if self._auth else ()),
        ]

    def start(self) -> None:
        self.members = [self.launch(self._command(port)) for port in self._ports[1:]]
        super().start()

    def kill(self) -> None:
        super().kill()
        for member in self.members:
            end(member)

    def ready(self) -> bool:
        try:
            with self._client(known=self._known) as client:
                if not self._known:
                    self._set_up(client)
                    self._known = True
                return not self._replicated or bool(client.admin.command("hello")["isWritablePrimary"])
        except PyMongoError:
            return False

    def client(self) -> pymongo.MongoClient[dict[str, Any]]:
        """A client of the whole set, for tests that look inside."""
        credentials: dict[str, Any] = {"username": self.user, "password": self.password} if self._auth else {}
        return pymongo.MongoClient(self.uri, serverSelectionTimeoutMS=10_000, **credentials)

    def step_down(self, seconds: int = 5) -> None:
        """Make the primary hand over; it cannot become primary again for so many seconds."""
        with self.client() as client:
            try:
                client.admin.command("replSetStepDown", seconds, force=True)
            except pymongo.errors.AutoReconnect:  # it closes all connections
                pass

    def kill_primary(self) -> None:
        """End the primary by SIGKILL: the others elect another one when they notice."""
        with self.client() as client:
            client.admin.command("ping")
            address = client.primary
        assert address is not None
        port = address[1]
        victim = self._process if port == self.port else self.members[self._ports.index(port) - 1]
        assert victim is not None
        end(victim)

    def suspend(self) -> None:
        """Stop all members by SIGSTOP: connections stay, and nobody answers."""
        for process in (self._process, *self.members):
            if process is not None:
                process.send_signal(signal.SIGSTOP)
                os.waitid(os.P_PID, process.pid, os.WSTOPPED)  # until then some thread may still answer

    def resume(self) -> None:
        """Let them go on."""
        for process in (self._process, *self.members):
            if process is not None:
                process.send_signal(signal.SIGCONT)

    def _client(self, known: bool) -> pymongo.MongoClient[dict[str, Any]]:
        credentials: dict[str, Any] = (
            {"username": self.user, "password": self.password} if self._auth and known else {}
        )
        return pymongo.MongoClient(
            self.host, self.port, directConnection=True, serverSelectionTimeoutMS=500, **credentials
        )

    def _set_up(self, client: pymongo.MongoClient[dict[str, Any]]) -> None:
        if self._replicated and "setName" not in client.admin.command("hello"):
            members = [
                {"_id": number, "host": f"{self.host}:{port}", "priority": 2 if number == 0 else 1}
                for number, port in enumerate(self._ports)
            ]
            election = round(self._election * 1000)
            settings = {"electionTimeoutMillis": election, "heartbeatIntervalMillis": 500}
            config = {"_id": _SET, "members": members, "settings": settings}
            client.admin.command("replSetInitiate", config)
        if self._replicated and not client.admin.command("hello")["isWritablePrimary"]:
            raise PyMongoError("no primary yet")
        if self._auth:
            client.admin.command("createUser", self.user, pwd=self.password, roles=["root"])
