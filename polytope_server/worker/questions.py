"""Questions of frontends, which a worker answers outside of queue and limits."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection as Many
from collections.abc import Mapping
from typing import Any

from polytope_server.caching import JSON
from polytope_server.collection import Collection, DataSourceConfig
from polytope_server.datasource import DataSourceError, Question, TemporaryError, factory
from polytope_server.notices import Notices
from polytope_server.questions.responder import Responder
from polytope_server.worker import memory
from polytope_server.worker.assignment import Inquiry
from polytope_server.worker.metrics import WorkerMetrics
from polytope_server.worker.question_children import QuestionChildren

logger = logging.getLogger(__name__)

#: Questions that run or wait, for each child; beyond them nothing is offered.
_MOST = 8
#: Seconds by which a worker offers later if it must start a child first, and for each question that it has:
#: so that others come first that need less.
_COLD_DELAY, _LOAD_DELAY = 0.1, 0.02


class Questions:
    """Answers questions about the data sources whose requests this worker takes."""

    def __init__(
        self,
        collections: Mapping[str, Collection],
        queues: Many[str],
        children: QuestionChildren,
        notices: Notices,
        metrics: WorkerMetrics,
    ) -> None:
        """`responder` is to get the notices."""
        self._collections = collections
        self._queues = frozenset(queues)
        self._children = children
        self._metrics = metrics
        self.responder = Responder(notices, self._delay, self._answer)

    async def close(self) -> None:
        """Answer nothing more."""
        await self.responder.close()
        await self._children.close()

    def _delay(self, about: JSON) -> float | None:
        """The seconds until this worker offers to answer; None: not at all."""
        children = self._children
        if self._find_source(about) is None or children.load >= children.count * _MOST:
            return None
        waiting = max(0, children.load - children.count + 1)
        return waiting * _LOAD_DELAY + (0.0 if children.started else _COLD_DELAY)

    def _find_source(self, about: Any) -> DataSourceConfig | None:
        """The data source that a question is about, if this worker can ask it that."""
        if not isinstance(about, dict):
            return None
        collection = self._collections.get(str(about.get("collection")))
        source = collection.datasource(str(about.get("datasource"))) if collection else None
        if collection is None or source is None or collection.queue_of(source.name) not in self._queues:
            return None
        return source if str(about.get("kind")) in factory.kind_of(source).questions else None

    async def _answer(self, question: Any, seconds: float) -> JSON:
        """What the data source answers, or what is wrong with the request; None if neither is known."""
        source = self._find_source(question)
        if source is None:
            return None
        outcome = "timed_out"
        try:
            answer: JSON = json.loads(await self._children.ask(_inquiry(question, source), seconds))
            outcome = "answered"
        except DataSourceError as error:
            outcome, answer = "answered", {"problem": str(error)}
        except (TemporaryError, OSError, TimeoutError) as error:
            logger.warning("a question about %s was not answered: %s", source.name, error)
            outcome, answer = "failed", None
        finally:
            self._metrics.questions.labels(self._metrics.collection(question["collection"]), outcome).inc()
        return answer


def _inquiry(question: Mapping[str, Any], source: DataSourceConfig) -> Inquiry:
    return Inquiry(
        question["collection"],
        source.name,
        memory.allowed(source.keys.get("max_memory", memory.DEFAULT)),
        Question(question["kind"], question["request"]),
    )
