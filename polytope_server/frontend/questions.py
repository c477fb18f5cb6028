"""Questions that only the data can answer. A worker is asked: no native library is loaded in a frontend."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from polytope_server.caching import JSON, Cache
from polytope_server.collection import DataSourceConfig
from polytope_server.datasource import factory
from polytope_server.frontend.metrics import FrontendMetrics
from polytope_server.frontend.refusals import refuse_draft
from polytope_server.notices import Notice
from polytope_server.questions import LARGEST
from polytope_server.questions.asker import Asker, NoAnswerError, NoWorkerError
from polytope_server.request import Request, Verb
from polytope_server.settings.frontend import FrontendSettings
from polytope_server.texts import encodable

#: After three questions of one kind without an answer none is asked for ten seconds: each of them would hold
#: up a submission, and cost a worker a child process.
_FAILURES, _PAUSE = 3, 10.0


@dataclass
class _CircuitBreaker:
    """A circuit breaker for the questions of one kind to one data source."""

    #: Questions without an answer, since the last one that had one.
    failures: int = 0
    #: When the next one may be asked, by the clock of the event loop.
    until: float = 0.0

    def note(self, answered: bool, now: float) -> None:
        """Take note of what came of a question."""
        self.failures = 0 if answered else self.failures + 1
        self.until = now + _PAUSE if self.failures >= _FAILURES else 0.0


class Questions:
    """Asks workers, a bounded number of questions at a time. The cache keeps answers for all frontends."""

    def __init__(
        self,
        settings: FrontendSettings,
        asker: Asker | None,
        at_door: Mapping[tuple[str, str], str],
        cache: Cache,
        metrics: FrontendMetrics,
    ) -> None:
        """`asker` is None where nothing is to be asked.

        `at_door` has the kind of question that is asked about each retrieval, by collection and data source.
        """
        self._wait = settings.question_wait
        self._asker = asker
        self._at_door = at_door
        self._cache = cache
        self._metrics = metrics
        self._room = asyncio.Semaphore(settings.questions)
        self._breakers: defaultdict[tuple[str, str, str], _CircuitBreaker] = defaultdict(_CircuitBreaker)

    @property
    def asks(self) -> bool:
        """Whether it asks anything, and is to get the notices with answers."""
        return self._asker is not None

    def start(self) -> None:
        """Find out whether there are workers that answer. The notices come in now."""
        if self._asker is not None:
            self._asker.look_for_workers()

    def on_notice(self, notice: Notice) -> None:
        """Take a notice of the topic ANSWER."""
        if self._asker is not None:
            self._asker.receive(notice)

    async def check(self, request: Request) -> None:
        """Ask what the data source of a request wants to be asked when it is submitted.

        Raises RefusedError with the problems of the request. Without an answer it passes.
        """
        kind = self._at_door.get((request.collection, request.datasource))
        if kind is None or request.verb is not Verb.RETRIEVE:
            return
        problems = await self._ask(request.collection, request.datasource, kind, request.coerced_request)
        if problems and isinstance(problems, list):
            refuse_draft(encodable("\n".join(map(str, problems))))

    async def ask(
        self,
        collection: str,
        source: DataSourceConfig,
        kind: str,
        request: Mapping[str, Any],
        seconds: float | None = None,
    ) -> JSON:
        """The answer of a data source to a question about a coerced request that its rules have admitted.

        None if there is none within `seconds`, by default those of the configuration. Raises RefusedError if
        the data source finds that the request could not be fulfilled.
        """
        if kind not in factory.kind_of(source).questions:
            return None
        return await self._ask(collection, source.name, kind, request, seconds)

    async def _ask(
        self,
        collection: str,
        datasource: str,
        kind: str,
        request: Mapping[str, Any],
        seconds: float | None = None,
    ) -> JSON:
        about: dict[str, JSON] = {"collection": collection, "datasource": datasource, "kind": kind}
        question: dict[str, JSON] = {**about, "request": dict(request)}
        text = json.dumps(question, sort_keys=True)
        if self._asker is None or len(text) > LARGEST:
            return None
        asker, loop = self._asker, asyncio.get_running_loop()
        end = loop.time() + (self._wait if seconds is None else seconds)
        breaker = self._breakers[collection, datasource, kind]
        outcome = "shared"

        async def make() -> JSON:
            nonlocal outcome
            outcome = "skipped"
            if loop.time() < breaker.until:
                return None
            outcome = "unanswered"
            try:
                async with self._place(end):
                    made = await asker.ask(about, question, end - loop.time())
            except NoWorkerError:
                outcome = "skipped"
                return None
            except (NoAnswerError, TimeoutError):
                made = None
            breaker.note(made is not None, loop.time())
            outcome = "answered" if made is not None else outcome
            return made

        key = f"question:{hashlib.sha256(text.encode()).hexdigest()}"
        found: JSON = None
        with suppress(TimeoutError):
            async with asyncio.timeout_at(end):
                found = await self._cache.get_or_make(key, _lifetime, make)
        if found is None and outcome != "skipped":
            outcome = "unanswered"
        self._metrics.questions.labels(self._metrics.collection(collection), outcome).inc()
        return _read(found)

    @asynccontextmanager
    async def _place(self, end: float) -> AsyncIterator[None]:
        """Room for one more question. Raises TimeoutError if there is none until then, by the event loop."""
        async with asyncio.timeout_at(end):
            await self._room.acquire()
        try:
            yield
        finally:
            self._room.release()


def _lifetime(answer: JSON) -> float:
    """The seconds for which an answer may be given again."""
    seconds = answer.get("seconds") if isinstance(answer, dict) else None
    return float(seconds) if isinstance(seconds, int | float) else 0.0


def _read(answer: JSON) -> JSON:
    """The value of an answer. Raises RefusedError if it says what is wrong with the request."""
    if not isinstance(answer, dict):
        return None
    if problem := answer.get("problem"):
        refuse_draft(encodable(str(problem)))
    return answer.get("value")
