import json
import logging
import re
import sys
import threading
from collections.abc import Iterator

import pytest

from polytope_server.redaction import redactor
from polytope_server.runtime import log
from polytope_server.settings.root import LoggingSettings


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    hooks = sys.excepthook, threading.excepthook, logging.lastResort
    yield
    root.handlers[:], root.level = before
    sys.excepthook, threading.excepthook, logging.lastResort = hooks
    logging.captureWarnings(False)


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


SEED = "seed-of-the-tests-4711"


@pytest.fixture
def seeded() -> Iterator[None]:
    with redactor.knowing([SEED]):
        yield


class Sealed(Exception):
    """Its text, and that of its cause, hold the secret."""


def fail() -> None:
    try:
        raise ValueError(f"refused: {SEED}")
    except ValueError as error:
        raise Sealed(f"failed with {SEED}") from error


@pytest.mark.parametrize("mode", ["json", "console"])
@pytest.mark.usefixtures("seeded")
def test_no_part_of_a_line_holds_a_secret(capsys: pytest.CaptureFixture[str], mode: str) -> None:
    log.configure(LoggingSettings.model_validate({"mode": mode, "level": "DEBUG"}), "worker")
    own, librarys = logging.getLogger("polytope_server.x"), logging.getLogger("pymongo.x")
    token = log.request_id.set(SEED)
    own.info("message %s", "Bearer x1")
    librarys.debug(f"message {SEED}")
    librarys.debug("argument %s, mapping %s", SEED, {"password": "p1", "x": [SEED]})
    own.info("stack of %s", SEED, stack_info=True)
    try:
        fail()
    except Sealed:
        librarys.exception("exception")
    log.request_id.reset(token)
    written = capsys.readouterr().err
    assert SEED not in written
    assert not {"p1", "x1"} & set(re.findall(r"\w+", written))
    assert written.count("***") >= 10
    assert "Sealed: failed with ***" in written
    assert "ValueError: refused: ***" in written


@pytest.mark.usefixtures("seeded")
def test_a_logger_that_is_cut_off_is_no_way_round(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure(LoggingSettings(), "frontend")
    logger = logging.getLogger("cut.off")
    logger.propagate = False
    logger.warning("with %s", SEED)
    assert json.loads(capsys.readouterr().err)["message"] == "with ***"


@pytest.mark.usefixtures("seeded")
def test_a_line_that_cannot_be_made_tells_where_and_not_what(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure(LoggingSettings(), "frontend")
    logging.getLogger("x").info("a number: %d", SEED)
    line = json.loads(capsys.readouterr().err)
    assert line["message"].startswith("this line of the log cannot be made: TypeError at ")
    assert __file__ in line["message"]
    assert SEED not in str(line)


FORGED = "x\r\n12:00:00 broker            INFO    all is well\x1b[2J\u2028\x85\u202e"


@pytest.mark.parametrize("mode", ["json", "console"])
def test_no_text_of_a_caller_begins_a_line_or_directs_a_terminal(
    capsys: pytest.CaptureFixture[str], mode: str
) -> None:
    log.configure(LoggingSettings.model_validate({"mode": mode}), "frontend")
    token = log.request_id.set(FORGED)
    logging.getLogger("x").error("GET /api/v1/requests/%s", FORGED)
    logging.getLogger("x").error(FORGED)
    log.request_id.reset(token)
    written = capsys.readouterr().err
    assert len(re.findall("[\n\r\x1b\x85\u2028\u202e]", written)) == 2
    assert written.count("\n") == 2


def test_the_lines_of_an_exception_are_indented(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure(LoggingSettings(mode="console"), "frontend")
    try:
        raise ValueError(FORGED)
    except ValueError:
        logging.getLogger("x").exception("it failed", stack_info=True)
    first, *others = capsys.readouterr().err.rstrip("\n").split("\n")
    assert first.endswith("it failed")
    assert all(line.startswith("    ") and not set("\r\x1b\x85\u2028\u202e") & set(line) for line in others)
    assert any("all is well" in line for line in others)


@pytest.mark.parametrize("mode", ["json", "console"])
def test_of_a_long_text_the_middle_is_left_out(capsys: pytest.CaptureFixture[str], mode: str) -> None:
    log.configure(LoggingSettings.model_validate({"mode": mode}), "frontend")
    long = "b" + "\\" * 300_000 + "e"
    token = log.request_id.set(long)
    try:
        raise ValueError(long)
    except ValueError:
        logging.getLogger("x").exception(long, stack_info=True)
    log.request_id.reset(token)
    written = capsys.readouterr().err
    assert len(written) < 150_000
    assert written.count("characters left out") == 3


def test_a_secret_is_hidden_before_the_middle_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure(LoggingSettings(), "frontend")
    half = log._LONGEST // 2
    with redactor.knowing([SEED]):
        logging.getLogger("x").info("%s%s%s", "a" * (half - 8), SEED, "b" * half)
    assert SEED[:6] not in capsys.readouterr().err
