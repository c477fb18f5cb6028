"""The configuration on the page about MARS is accepted as it stands."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from polytope_server.config import Configuration

PAGE = Path(__file__).parents[3] / "docs" / "operators" / "mars.md"
USERS = "authentication: {ecmwf: {authenticators: {anyone: {type: anonymous}}}}"


@pytest.mark.usefixtures("real_backends")
def test_the_example_is_accepted(config: Callable[..., Configuration]) -> None:
    example = re.search(r"```yaml\n(datasources:.*?)```", PAGE.read_text(), re.DOTALL)
    assert example is not None
    loaded = config(example[1], USERS)
    assert [source.type for source in loaded.collections["archive"].datasources] == ["mars", "webmars"]
