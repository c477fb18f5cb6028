"""What the question for the contents of a data source names: the keys that its rules fix."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from polytope_server.config import load
from polytope_server.datasource import CONTENTS
from polytope_server.frontend.catalogue import Catalogue
from polytope_server.frontend.composition import make_sources
from polytope_server.frontend.refusals import refuse_draft
from polytope_server.user import User

FDB = "type: fdb, fdb_config: {type: local, spaces: []}"
ALICE = User("alice", "r", roles=["x"])


class Questions:
    """Remembers what it is asked, and refuses if it is to."""

    def __init__(self, reason: str = "") -> None:
        self.asked: list[Any] = []
        self._reason = reason

    async def ask(self, collection: str, source: Any, kind: str, request: Any) -> Any:
        self.asked.append((kind, request))
        if self._reason:
            refuse_draft(self._reason)
        return {}


async def describe(tmp_path: Path, match: str, questions: Questions) -> dict[str, Any]:
    file = tmp_path / "config.yaml"
    file.write_text(
        f"datasources: {{a: {{{FDB}, match: {match}}}}}\n"
        "collections: {c: {roles: {r: [x]}, datasources: [a]}}"
    )
    configuration = load([file])
    asked: Any = questions
    catalogue = Catalogue(configuration.collections, make_sources(configuration), asked)
    found = catalogue.find("c", ALICE)
    assert found is not None
    return await catalogue.describe(found, ALICE)


@pytest.mark.parametrize(
    ("match", "named"),
    [
        ("{class: [od], step: 0/to/24/by/6}", {"class": ["od"], "step": ["0/to/24/by/6"]}),
        ("{Parameter: [2t], level: [500, 850]}", {"param": ["2t"], "levelist": ["500", "850"]}),
        ("{class: od, step: [0/to/24/by/6, 30]}", {"class": ["od"]}),
        ("{class: od, grid: [], date: '>1d'}", {"class": ["od"]}),
    ],
)
async def test_it_names_the_keys_that_the_rules_fix(tmp_path: Path, match: str, named: Any) -> None:
    questions = Questions()
    await describe(tmp_path, match, questions)
    assert questions.asked == [(CONTENTS, named)]


async def test_a_refusal_is_for_the_operator(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = await describe(tmp_path, "{class: od}", Questions("no such value"))
    assert found["datasources"][0]["contents"] is None
    assert "cannot say what it has: no such value" in caplog.text
