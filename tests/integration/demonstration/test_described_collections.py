"""The collections of the demonstration describe themselves, as the tutorial shows it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import requests
from newcomer import DOCS

from polytope_demonstration.setup import FEATURES, USER, Setup
from testbed.waiting import until

PAGE = (DOCS / "tutorial.md").read_text()


def describe(running: Setup, name: str) -> dict[str, Any]:
    answer = requests.get(
        f"{running.url}/api/v1/collections/{name}", auth=(USER, running.password), timeout=60
    )
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def contents(running: Setup, name: str) -> Any:
    return describe(running, name)["datasources"][0]["contents"]


def test_the_tutorial_shows_what_the_server_says(running: Setup) -> None:
    [shown] = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", PAGE, re.S)]
    until(lambda: contents(running, "demo"))
    found = describe(running, "demo")
    sources, shown_sources = found.pop("datasources"), shown.pop("datasources")
    assert shown == found
    assert sources[0]["contents"]["step"] == shown_sources[0].pop("contents")["step"]
    for source, part in zip(sources, shown_sources, strict=True):
        assert part.pop("...") == "..."
        assert part.items() <= source.items()


@pytest.mark.parametrize("name", ["demo", FEATURES])
def test_the_examples_are_served(running: Setup, name: str) -> None:
    described = describe(running, name)
    assert described["examples"]
    with requests.Session() as session:
        session.auth = (USER, running.password)
        for request in described["examples"]:
            body = {"verb": "retrieve", "request": request}
            answer = session.post(f"{running.url}/api/v1/requests/{name}", json=body, timeout=60)
            assert answer.status_code == 202, answer.text
            place = f"{running.url}/api/v1/requests/{answer.json()['id']}"
            until(lambda place=place: session.get(place, timeout=60).status_code == 200)
