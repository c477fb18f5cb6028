"""A process that answers questions, one JSON object a line, for native libraries with their own settings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self


class QuestionError(RuntimeError):
    """What the process raised for a question, as `Type: message`."""


class LineProcess:
    """A context manager that starts `python -m MODULE`, whose main function is :func:`answer`."""

    def __init__(self, module: str, environment: Mapping[str, str]) -> None:
        """`environment` is added to the one that there is."""
        self._module = module
        self._environment = {**os.environ, **environment}

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", self._module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=self._environment,
            text=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def ask(self, **question: Any) -> Any:
        """The answer to a question. Raises QuestionError."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise QuestionError(f"the process {self._module} has ended with status {self._process.wait(60)}")
        answer = json.loads(line)
        if "error" in answer:
            raise QuestionError(answer["error"])
        return answer["found"]


def answer(find: Callable[..., Any]) -> None:
    """Answer every question of the standard input by what a function returns for it.

    What libraries print goes nowhere.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    for line in sys.stdin:
        try:
            reply: dict[str, Any] = {"found": find(**json.loads(line))}
        except Exception as error:
            reply = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(reply) + "\n")
        answers.flush()
