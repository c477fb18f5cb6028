"""A caller of the object store, who checks what is the same for every answer."""

import json
import time
from typing import Any

import psutil
import requests

from polytope_server.staging.names import new_object_name
from testbed.object_store import TOKEN, ObjectStore

GRIB = "application/x-grib"
DATA = bytes(range(256)) * 1000
N = len(DATA)
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}


class Caller:
    """Calls the store, and checks on each answer what all answers have in common."""

    def __init__(self, store: ObjectStore) -> None:
        self.store = store
        self.session = requests.Session()
        self.session.trust_env = False

    def __call__(self, method: str, path: str, token: str | None = TOKEN, **options: Any) -> Any:
        headers = {**({"Authorization": f"Bearer {token}"} if token else {}), **options.pop("headers", {})}
        answer = self.session.request(
            method, f"{self.store.url}/{path}", headers=headers, timeout=30, **options
        )
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        if answer.status_code >= 400 and method != "HEAD":
            assert answer.headers["Content-Type"] == "application/json"
            assert list(answer.json()) == ["message"]
            assert answer.json()["message"]
        return answer

    def put(self, data: Any = DATA, request: str = "r1", **headers: str) -> str:
        """Store an object; returns its name."""
        name = new_object_name(request, GRIB)
        answer = self("PUT", name, data=data, headers={"Content-Type": GRIB, **headers})
        assert answer.status_code == 201, answer.text
        return name

    def names(self) -> set[str]:
        return {json.loads(line)["name"] for line in self("GET", "").text.splitlines()}


def nothing_unfinished(store: ObjectStore) -> bool:
    return not any((store.root / "unfinished").iterdir())


def reads(process: psutil.Process, name: str) -> bool:
    """Whether the process has the object open."""
    return any(file.path.endswith(name) for file in process.open_files())


def timed(call: Caller, name: str, size: int) -> float:
    began = time.monotonic()
    assert len(call("GET", name).content) == size
    return time.monotonic() - began


def worker_of(store: ObjectStore) -> psutil.Process:
    """The process that serves."""
    return psutil.Process(store.process.pid).children()[0]
