"""The page "Tutorial: features": each of its examples, as it is written."""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from newcomer import DOCS, Newcomer, blocks

from polytope_demonstration.setup import USER, Setup

PAGE = (DOCS / "features-tutorial.md").read_text()
PYTHON = blocks(PAGE, "python")
START, *EXAMPLES, MISTAKE = PYTHON
TYPES = {
    "timeseries",
    "verticalprofile",
    "boundingbox",
    "polygon",
    "circle",
    "position",
    "trajectory",
    "frame",
}


def request_of(example: str) -> dict[str, Any]:
    """What an example asks for."""
    [request] = [
        node.value
        for node in ast.parse(example).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "request"
    ]
    found: dict[str, Any] = ast.literal_eval(request)
    return found


REQUESTS = [request_of(example) for example in EXAMPLES]


@pytest.fixture
def newcomer(tmp_path: Path, running: Setup) -> Newcomer:
    """One who has the packages of the page, which are those that are installed here."""
    made = Newcomer(tmp_path, Path(sys.prefix))
    made.configure(
        f"address: {running.url}\ninsecure: true\nquiet: true\n"
        f"username: {USER}\npassword: {running.password}\n"
    )
    return made


def test_there_is_an_example_for_each_feature() -> None:
    assert {request["feature"]["type"] for request in REQUESTS} == TYPES


def test_all_python_examples_run(newcomer: Newcomer) -> None:
    marked = "".join(f"print('example {n}')\n{text}" for n, text in enumerate(EXAMPLES))
    check = "print('checked', len(members['number']), len(box['steps']), series.sizes['t'])\n"
    printed = newcomer.python(f"{START}{marked}{check}{MISTAKE}", PYTHONWARNINGS="ignore")
    parts = re.split(r"^example \d+$", printed, flags=re.MULTILINE)[1:]
    assert len(parts) == len(EXAMPLES)
    assert all(re.search(r"\d", part) for part in parts)
    assert "checked 8 2 9" in printed
    assert "91" in printed.partition("checked")[2]


def test_each_request_can_be_sent_with_curl(newcomer: Newcomer, running: Setup) -> None:
    script = blocks(PAGE, "sh")[-1].replace("http://127.0.0.1:5000", running.url)
    head, body, rest = re.split(r"END\n", script)
    assert json.loads(body)["request"]["feature"]["type"] == "position"
    for request in REQUESTS:
        sent = f"{head}END\n{json.dumps({'verb': 'retrieve', 'request': request})}\nEND\n{rest}"
        newcomer.run("bash", "-euc", sent, PASSWORD=running.password)
        assert_complete(json.loads((newcomer.folder / "result.covjson").read_text()), request)


def assert_complete(result: Mapping[str, Any], request: Mapping[str, Any]) -> None:
    """A result has numbers of each parameter of its request, in each coverage."""
    params = set(request["param"].split("/"))
    assert set(result["parameters"]) == params
    assert result["coverages"]
    for coverage in result["coverages"]:
        assert set(coverage["ranges"]) == params
        for values in coverage["ranges"].values():
            assert values["values"]
            assert all(isinstance(value, float) for value in values["values"])
