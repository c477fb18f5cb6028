"""The interfaces say in their docstrings what an author of a back-end has to know."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from polytope_server.accounts.api_keys import APIKeys
from polytope_server.accounts.users import Identity
from polytope_server.authentication import Authenticator, AuthenticatorSettings
from polytope_server.authorization import Authorizer, AuthorizerSettings
from polytope_server.caching import Cache
from polytope_server.datasource import DataSource
from polytope_server.metric_store import MetricStore
from polytope_server.notices import Notices
from polytope_server.queue import Queue
from polytope_server.request_store import RequestStore
from polytope_server.request_store.leasing import Leasing
from polytope_server.request_store.retention import Retention
from polytope_server.request_store.selections import Paging
from polytope_server.request_store.summaries import Summaries
from polytope_server.staging import Staging

INTERFACES = (
    *(APIKeys, Identity, Authenticator, AuthenticatorSettings, Authorizer, AuthorizerSettings, Cache),
    *(DataSource, MetricStore, Notices, Queue, RequestStore, Leasing, Retention, Paging, Summaries, Staging),
)


def methods() -> Iterator[Any]:
    for interface in INTERFACES:
        for name, value in vars(interface).items():
            method = inspect.unwrap(getattr(value, "__func__", value))
            if inspect.isfunction(method) and (name == "__init__" or not name.startswith("_")):
                yield pytest.param(method, id=f"{interface.__name__}.{name}")


@pytest.mark.parametrize("method", list(methods()))
def test_a_method_says_what_it_takes_and_gives(method: Callable[..., Any]) -> None:
    text, signature = inspect.getdoc(method) or "", inspect.signature(method)
    named = [name for name in signature.parameters if name not in ("self", "cls")]
    if named:
        assert [name for name in named if not re.search(rf"^    {name}: \S", text, re.MULTILINE)] == []
        assert "\nArgs:\n" in text
    assert ("\nReturns:\n" in text) == (signature.return_annotation != "None")
