"""Two servers that are data sources of each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from testbed.server import CONFIG, StandaloneServer

#: The secret by which each of the two knows the other.
SECRET = "of-two-servers-of-a-test"
_ROLES = {"test": ["default"]}


def federated(peer: StandaloneServer, collection: str, **keys: Any) -> dict[str, Any]:
    """A data source: that collection of that server."""
    url = f"http://127.0.0.1:{peer.port}"
    return {"type": "federated", "url": url, "secret": SECRET, "collection": collection, **keys}


def sections(sources: Mapping[str, Mapping[str, Any]], **more: Any) -> dict[str, Any]:
    """What a server of the two has: a collection for each of these data sources, and those of all tests."""
    return {
        "federation": {"peer": {"secret": SECRET, "allowed-realms": ["test"]}},
        "datasources": {**CONFIG["datasources"], **sources},
        "collections": {
            **CONFIG["collections"],
            **{name: {"roles": _ROLES, "datasources": [name]} for name in sources},
        },
        **more,
    }


@contextmanager
def running(*servers: StandaloneServer) -> Iterator[None]:
    """The servers run; afterwards they do not, and nothing of them is left."""
    started = []
    try:
        for server in servers:
            server.start()
            started.append(server)
        yield
    except BaseException:
        for server in started:
            print(server.log.read_text()[-5000:])
        raise
    finally:
        for server in started:
            server.stop()


def pair(folder: Path) -> tuple[StandaloneServer, StandaloneServer]:
    """Two servers on free ports, not started; their `config` is to be filled in."""
    return StandaloneServer(folder / "here"), StandaloneServer(folder / "there")


def configure(server: StandaloneServer, sources: Mapping[str, Mapping[str, Any]], **more: Any) -> None:
    """Give a server its data sources, beside its port."""
    server.config = {**server.config, **sections(sources, **more), "frontend": server.config["frontend"]}
