"""A data source that answers questions, as another package has it: the fixture `answering` installs it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from polytope_server.datasource import (
    OCTET_STREAM,
    Answer,
    DataSource,
    DataSourceError,
    DataSourceSettings,
    Job,
    Question,
    Result,
    TemporaryError,
)


class AnsweringSettings(DataSourceSettings):
    """Keys of the data source."""

    door: str | None = None


class AnsweringDataSource(DataSource):
    """Does what the kind of the question says.

    A retrieval, and the question `hang` (which makes the file `mark` before), take until the file `until` is
    there. The retrieval says its `notes` and its `progress` before.
    """

    Settings = AnsweringSettings
    questions = frozenset(
        {"echo", "check", "hang", "crash", "refuse", "retry", "large", "infinite", "hungry", "nothing"}
    )

    @classmethod
    def door_question(cls, settings: Any) -> str | None:
        found: str | None = settings.door
        return found

    def retrieve(self, job: Job) -> Result:
        return Result(OCTET_STREAM, self._chunks(job))

    def _chunks(self, job: Job) -> Iterator[bytes]:
        for note in job.coerced_request.get("notes", ()):
            job.note(note)
        if "progress" in job.coerced_request:
            job.progress(job.coerced_request["progress"])
        _wait_for(job.coerced_request.get("until", "/"))
        yield b"done"

    def answer(self, question: Question) -> Answer | None:
        request, seconds = question.request, float(question.request.get("keep", 0))
        match question.kind:
            case "echo":
                return Answer({"request": dict(request), "pid": os.getpid()}, seconds)
            case "check":
                return Answer([request["problem"]] if "problem" in request else [], seconds)
            case "hang":
                if "mark" in request:
                    Path(str(request["mark"])).touch()
                _wait_for(request.get("until", "/never"))
            case "crash":
                os._exit(3)
            case "refuse":
                raise DataSourceError("no such page")
            case "retry":
                raise TemporaryError("not now")
            case "large":
                return Answer("x" * int(request["size"]))
            case "infinite":
                return Answer(float("inf"))
            case "hungry":
                return Answer(len(bytearray(8 << 30)))
        return None


def _wait_for(name: Any) -> None:
    while not Path(str(name)).exists():
        time.sleep(0.01)
