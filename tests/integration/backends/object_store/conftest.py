"""Object stores, and callers of them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from object_store_caller import Caller

from testbed.object_store import ObjectStore


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    with ObjectStore(tmp_path_factory.mktemp("store")) as store:
        yield store


@pytest.fixture
def call(store: ObjectStore) -> Iterator[Caller]:
    caller = Caller(store)
    yield caller
    for name in caller.names():
        caller("DELETE", f"{name.partition('/')[0]}/")
    caller.session.close()


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[..., Caller]]:
    """Starts a store with other keys, for one test."""
    stores: list[ObjectStore] = []

    def start(**keys: Any) -> Caller:
        store = ObjectStore(tmp_path / str(len(stores)), **keys)
        stores.append(store)
        store.start()
        return Caller(store)

    yield start
    for store in stores:
        store.stop()
