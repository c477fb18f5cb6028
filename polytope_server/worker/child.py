"""The child process of a worker: runs data sources, one request at a time, for as long as it lives.

Native libraries are imported and configured once, here; should one crash, only this process dies. The
bytes go to the worker through a socket, which holds the data source back when the worker is slower.
"""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from polytope_server.datasource import Answer, DataSource, DataSourceError, TemporaryError, WornOutError
from polytope_server.language import CoercionRules
from polytope_server.media_types import OCTET_STREAM
from polytope_server.questions import LARGEST
from polytope_server.redaction import redactor
from polytope_server.request import Verb
from polytope_server.runtime import log
from polytope_server.settings import backends
from polytope_server.settings.root import LoggingSettings
from polytope_server.worker import memory
from polytope_server.worker.assignment import Assignment, Inquiry
from polytope_server.worker.frames import HEADER, MAX_DATA, Frame, header

logger = logging.getLogger(__name__)

#: Characters of the error of a data source.
_LONGEST_MESSAGE = 10_000


class Connection:
    """The child's end of the socket to its worker."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._stream = connection.makefile("rb")

    def receive(self) -> tuple[Frame, bytes]:
        """The next frame. Raises EOFError when the worker is gone."""
        head = self._stream.read(HEADER.size)
        if len(head) < HEADER.size:
            raise EOFError
        kind, size = HEADER.unpack(head)
        body = self._stream.read(size)
        if len(body) < size:
            raise EOFError
        return Frame(kind), body

    def send(self, frame: Frame, body: bytes | memoryview = b"") -> None:
        """Send a frame; blocks while the worker does not take it."""
        head = header(frame, len(body))
        if len(body) <= 1 << 14:
            self._socket.sendall(head + body)
        else:
            self._socket.sendall(head)
            self._socket.sendall(body)

    def input(self) -> Iterator[bytes]:
        """The input of the current request, up to its END."""
        while (received := self.receive())[0] is Frame.DATA:
            yield received[1]


class Server:
    """Answers the worker's jobs with the data sources of its configuration."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.sources: dict[tuple[str, str], DataSource] = {}

    def configure(self, sources: list[dict[str, Any]], coercion: CoercionRules) -> None:
        """Make and prepare all data sources; one that cannot be used fails its own requests only."""
        for entry in sources:
            where = entry["collection"], entry["name"]
            try:
                kind = backends.load("datasource", entry["type"])
                source = kind(entry["name"], kind.Settings.model_validate(entry["settings"]))
                source.coercion = coercion
                source.judged = frozenset(entry.get("judged", ()))
                source.prepare()
            except Exception:
                logger.exception("data source %s of collection %s cannot be used", where[1], where[0])
                continue
            self.sources[where] = source

    def run(self, assignment: Assignment) -> None:
        """Do one assignment and send its outcome."""
        log.request_id.set(assignment.job.request_id)
        with redactor.knowing(assignment.job.attributes.values()):
            self._run_within_memory(assignment.max_memory, partial(self._serve_job, assignment))

    def answer(self, inquiry: Inquiry) -> None:
        """Answer one question, or send why not."""
        self._run_within_memory(inquiry.max_memory, partial(self._serve_question, inquiry))

    def _run_within_memory(self, allowed: int | None, work: Callable[[], None]) -> None:
        used = memory.used()
        memory.limit(allowed)
        try:
            work()
        except MemoryError:
            memory.limit(None)
            self._end_exhausted(allowed, used)
        except DataSourceError as error:
            self._connection.send(Frame.FAILED, _message(error))
        except WornOutError as error:
            logger.warning("this process is replaced: %s", error)
            self._connection.send(Frame.WORN_OUT)
            raise SystemExit(0) from None
        except TemporaryError as error:
            self._connection.send(Frame.RETRY, _message(error))
        except (BrokenPipeError, EOFError):
            raise
        except Exception:
            # What went wrong inside is for the operator's log; it may hold paths and addresses.
            logger.exception("the data source failed")
            self._connection.send(Frame.RETRY, b"The data source failed unexpectedly.")
        finally:
            memory.limit(None)

    def _end_exhausted(self, allowed: int | None, used: int) -> None:
        """End this process, which holds memory without use; `used` is what it had before the job.

        The request has failed for good, unless it was those before it that left too little, or the system.
        """
        most = "the system gives" if allowed is None else f"{allowed} bytes"
        logger.exception("the data source needs more than %s; %d bytes were in use before", most, used)
        if allowed is not None and used < allowed // 2:
            most = f"{allowed >> 20} MiB"
            reason = f"The request needs more memory than the {most} that its data source may use."
            self._connection.send(Frame.EXHAUSTED, reason.encode())
        raise SystemExit(1)

    def _serve_job(self, assignment: Assignment) -> None:
        source = self._find_source(assignment)
        job = replace(assignment.job, tell=self._tell)
        if job.verb == Verb.ARCHIVE:
            source.archive(job, self._connection.input())
            self._connection.send(Frame.START, OCTET_STREAM.encode())
        else:
            result = source.retrieve(job)
            if result.size is not None:
                self._connection.send(Frame.SIZE, b"%d" % result.size)
            self._connection.send(Frame.START, result.content_type.encode())
            for chunk in result.chunks:
                self._send_data(memoryview(chunk))
        self._connection.send(Frame.END)

    def _tell(self, kind: str, text: str) -> None:
        frame = Frame.NOTE if kind == "note" else Frame.PROGRESS
        self._connection.send(frame, _message(text))

    def _serve_question(self, inquiry: Inquiry) -> None:
        answer = self._find_source(inquiry).answer(inquiry.question) or Answer(None)
        body = json.dumps({"value": answer.value, "seconds": answer.seconds}, allow_nan=False)
        if len(body) > LARGEST:
            raise TemporaryError(f"The answer has {len(body)} characters; at most {LARGEST} are sent.")
        self._connection.send(Frame.ANSWER, body.encode())

    def _find_source(self, work: Assignment | Inquiry) -> DataSource:
        source = self.sources.get((work.collection, work.datasource))
        if source is None:
            raise TemporaryError("The data source is not available at the moment.")
        return source

    def _send_data(self, chunk: memoryview) -> None:
        for start in range(0, len(chunk), MAX_DATA):
            self._connection.send(Frame.DATA, chunk[start : start + MAX_DATA])


def _message(error: Exception | str) -> bytes:
    """What the user reads, and is stored with the request: a service may repeat in its answer what it got."""
    return redactor.redact(str(error))[:_LONGEST_MESSAGE].encode(errors="replace")


def read_rules(values: dict[str, Any]) -> CoercionRules:
    """The rules as the worker sent them: JSON has no sets."""
    sets: dict[str, Any] = {key: frozenset(value) for key, value in values.items() if isinstance(value, list)}
    return CoercionRules(**(values | sets))


def serve(end: socket.socket) -> None:
    """Do what the worker at the other end of that socket asks for, until it ends."""
    memory.be_first_to_go()
    connection = Connection(end)
    server = Server(connection)
    try:
        while True:
            frame, body = connection.receive()
            if frame is Frame.CONFIG:
                config = json.loads(body)
                redactor.learn(config["secrets"])
                log.configure(LoggingSettings.model_validate(config["logging"]), "data source")
                server.configure(config["sources"], read_rules(config["coercion"]))
                connection.send(Frame.READY)
            elif frame is Frame.JOB:
                server.run(Assignment.decode(body))
            elif frame is Frame.QUESTION:
                server.answer(Inquiry.decode(body))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass  # the worker ended, or stopped to listen: so does its child
