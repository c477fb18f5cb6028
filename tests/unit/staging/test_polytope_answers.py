"""What the client of the object store makes of its answers."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from polytope_server.staging import LargestObjectError, ObjectTooLargeError, StagingFullError
from polytope_server.staging.polytope.http import raise_failure


async def failure(status: int, **headers: str) -> Exception:
    async def read(_: int) -> bytes:
        return json.dumps({"message": "why"}).encode()

    names = {name.replace("_", "-"): value for name, value in headers.items()}
    answer: Any = SimpleNamespace(status=status, headers=names, content=SimpleNamespace(read=read))
    with pytest.raises((StagingFullError, ObjectTooLargeError)) as caught:
        await raise_failure(answer, "the store", "r1/x")
    return caught.value


async def test_a_full_store_is_told_from_an_object_that_is_to_blame() -> None:
    assert type(await failure(507)) is StagingFullError
    assert type(await failure(507, X_Largest_Object="1")) is LargestObjectError
    too_large = await failure(413, X_Size="20", X_Room="10")
    assert isinstance(too_large, ObjectTooLargeError)
    assert str(too_large) == "has 20 bytes or more; there is room for 10"
