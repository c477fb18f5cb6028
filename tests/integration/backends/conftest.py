"""Back-ends are tested on the event loop of the server."""

import gc
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import uvloop

from testbed.services import MongoDB


def pytest_asyncio_loop_factories(config: Any, item: Any) -> Mapping[str, Callable[[], Any]]:
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
def own_mongodb(tmp_path: Path, mongodb: MongoDB) -> Iterator[MongoDB]:
    """A server for one test, which may stop it. Such tests ignore sockets that the driver did not close."""
    with MongoDB(tmp_path) as service:
        yield service
    # Here, and not in the middle of another test.
    gc.collect()


@pytest.fixture(scope="module", autouse=True)
def nothing_is_left_to_other_modules() -> Iterator[None]:
    """What a module's tests left to the garbage collector is collected under the filters of that module."""
    yield
    gc.collect()
