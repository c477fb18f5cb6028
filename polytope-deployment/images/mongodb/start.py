"""Starts MongoDB as the only member of the replica set rs0, with one administrator.

MONGODB_USERNAME and MONGODB_PASSWORD are the administrator's, MONGODB_HOST is the name at which clients find
this member (localhost). All of them count at the first start only.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

DATA = Path("/data")
#: Written when the first start has done everything.
READY = DATA / "initialised"
#: The members of a replica set know each other by it. There is one member, so it may be new at each start.
KEY_FILE = Path("/tmp/mongodb-key")  # noqa: S108 -- replaced, never read, if it exists
COMMAND = [
    *("/opt/mongodb/mongod", "--dbpath", str(DATA / "db"), "--port", "27017", "--bind_ip_all", "--ipv6"),
    *("--quiet", "--nounixsocket", "--replSet", "rs0", "--auth", "--keyFile", str(KEY_FILE)),
]
ALREADY_INITIALIZED, USER_EXISTS = 23, 51003
#: Seconds.
PATIENCE = 60.0


def main() -> None:
    """Become MongoDB."""
    username, password = (_needed(name) for name in ("MONGODB_USERNAME", "MONGODB_PASSWORD"))
    (DATA / "db").mkdir(mode=0o700, exist_ok=True)
    KEY_FILE.unlink(missing_ok=True)
    with os.fdopen(os.open(KEY_FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400), "w") as file:
        file.write(secrets.token_hex(64))
    if not READY.exists():
        _initialise(username, password, os.environ.get("MONGODB_HOST") or "localhost")
        READY.touch()
    for name in ("MONGODB_USERNAME", "MONGODB_PASSWORD"):
        del os.environ[name]
    os.execv(COMMAND[0], COMMAND)


def _needed(name: str) -> str:
    if not (value := os.environ.get(name)):
        sys.exit(f"the variable {name} is not set")
    return value


def _initialise(username: str, password: str, host: str) -> None:
    """What callers from this machine may do while there are no users, and nothing else."""
    server = subprocess.Popen(COMMAND)
    try:
        with MongoClient("localhost", directConnection=True, serverSelectionTimeoutMS=60_000) as client:
            member = {"_id": 0, "host": f"{host}:27017"}
            _do(client, ALREADY_INITIALIZED, "replSetInitiate", {"_id": "rs0", "members": [member]})
            deadline = time.monotonic() + PATIENCE
            while not client.admin.command("hello")["isWritablePrimary"]:
                if server.poll() is not None or time.monotonic() > deadline:
                    sys.exit(f"MongoDB does not become primary; is MONGODB_HOST ({host!r}) this container?")
                time.sleep(0.1)
            _do(client, USER_EXISTS, "createUser", username, pwd=password, roles=["root"])
    except PyMongoError as error:
        sys.exit(f"MongoDB could not be set up: {error}")
    finally:
        server.terminate()
        server.wait()


def _do(client: MongoClient[Any], done: int, *command: object, **options: object) -> None:
    """Run a command, unless an earlier start has done so: then the server answers with the code `done`."""
    try:
        client.admin.command(*command, **options)  # type: ignore[arg-type]
    except OperationFailure as error:
        if error.code != done:
            raise


if __name__ == "__main__":
    main()
