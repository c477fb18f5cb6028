import json
import logging

import pytest

from polytope_server import log
from polytope_server.config.settings import LoggingSettings


@pytest.fixture(autouse=True)
def _restore() -> object:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = before


def lines(capsys: pytest.CaptureFixture[str], **settings: object) -> list[str]:
    log.configure(LoggingSettings.model_validate(settings), "worker")
    token = log.request_id.set("r-1")
    try:
        raise ValueError("broken")
    except ValueError:
        logging.getLogger("x").exception("it %s", "failed")
    logging.getLogger("x").debug("not shown")
    log.request_id.reset(token)
    logging.getLogger("x").info("no request")
    return capsys.readouterr().err.splitlines()


def test_a_json_line_has_the_request_and_the_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = map(json.loads, lines(capsys, defaults={"app": "polytope", "site": "x"}))
    assert (first["message"], first["level"], first["request_id"]) == ("it failed", "ERROR", "r-1")
    assert (first["app"], first["site"], first["process"]) == ("polytope", "x", "worker")
    assert "ValueError: broken" in first["exception"]
    assert first["asctime"].endswith("Z")
    assert "request_id" not in second


@pytest.mark.parametrize("mode", ["console", "prettyprint"])
def test_lines_for_people(capsys: pytest.CaptureFixture[str], mode: str) -> None:
    found = lines(capsys, mode=mode)
    assert "worker" in found[0]
    assert found[0].endswith("it failed  [r-1]")
    assert found[-1].endswith("no request")
