"""A remote FDB of the tests: a catalogue and a store, served by the `fdb-server` of the package fdb5lib."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import yaml

from testbed.server import free_port
from testbed.waiting import until


class RemoteFDB:
    """A catalogue server and a store server, below one folder."""

    def __init__(self, folder: Path, schema: Path) -> None:
        self._folder = folder
        self._ports = {"catalogue": free_port(), "store": free_port()}
        self._running: list[subprocess.Popen[bytes]] = []
        for name in self._ports:
            (folder / f"{name}_root").mkdir(parents=True)
            (folder / f"{name}.yaml").write_text(yaml.safe_dump(self._configure(name)))
        shutil.copy(schema, folder / "schema")

    @property
    def config(self) -> dict[str, Any]:
        """What a client is configured with; the schema is beside it, as uploads need it."""
        port = self._ports["catalogue"]
        where = {"type": "remote", "host": "localhost", "port": port, "engine": "remote", "store": "remote"}
        return {**where, "schema": str(self._folder / "schema")}

    def start(self) -> None:
        """Start both servers."""
        found = importlib.util.find_spec("fdb5lib")
        assert found is not None
        assert found.origin is not None
        for name, port in self._ports.items():
            with (self._folder / f"{name}.log").open("ab") as log:
                self._running.append(
                    subprocess.Popen(
                        [Path(found.origin).parent / "bin/fdb-server"], cwd=self._folder,
                        env={**os.environ, "FDB5_CONFIG_FILE": str(self._folder / f"{name}.yaml")},
                        stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                    )
                )  # fmt: skip
            until(lambda port=port: _answers(port))

    def stop(self) -> None:
        """Kill both servers, with the processes that serve connections."""
        for server in self._running:
            with suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)
            server.wait()
        self._running.clear()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def _configure(self, name: str) -> dict[str, Any]:
        roots = [{"path": str(self._folder / f"{name}_root")}]
        own: dict[str, Any] = {
            "type": name,
            "serverPort": self._ports[name],
            "spaces": [{"handler": "Default", "roots": roots}],
        }
        if name == "catalogue":
            stores = [{"default": f"localhost:{self._ports['store']}"}]
            own |= {"schema": str(self._folder / "schema"), "stores": stores}
        return own


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
