"""Questions of a frontend to workers: at the door, from the cache, and without an answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from polytope_server.caching import JSON
from polytope_server.frontend.refusals import RefusedError
from polytope_server.notices import Topic
from polytope_server.notices.local import LocalNotices, LocalNoticesSettings
from polytope_server.questions.responder import Responder
from polytope_server.testing.waiting import until
from testbed.frontend import Frontend, frontend

pytestmark = pytest.mark.usefixtures("answering")

SOURCES: dict[str, Any] = {
    "open": {"type": "answering"},
    "door": {"type": "answering", "door": "check"},
    "mute": {"type": "echo"},
}
#: Seconds; a worker in this process answers in a few milliseconds, unless the machine is busy.
LONG, SHORT = 20.0, 0.05
Reply = Callable[[Any, float], Awaitable[JSON]]


@asynccontextmanager
async def opened(data: Path, **keys: Any) -> AsyncIterator[Frontend]:
    collections = {name: {"roles": ["default"], "datasources": [name]} for name in SOURCES}
    settings = {"question_wait": LONG, **keys}
    sections = {"datasources": SOURCES, "collections": collections, "frontend": settings}
    async with frontend(data, sections) as made:
        yield made


@asynccontextmanager
async def worker(data: Path, reply: Reply, delay: float | None = 0.0) -> AsyncIterator[Responder]:
    """What answers questions as a worker does, in this process."""
    notices = LocalNotices(LocalNoticesSettings(), data)
    await notices.open()
    responder = Responder(notices, lambda about: delay, reply)
    await notices.subscribe({Topic.QUESTION}, responder.receive)
    responder.start()
    try:
        yield responder
    finally:
        await responder.close()
        await notices.close()


async def knows_workers(door: Frontend) -> None:
    asker = door.services.questions._asker
    assert asker is not None
    await until(lambda: asker.knows_workers)


async def ask(door: Frontend, kind: str = "echo", name: str = "open", **request: Any) -> JSON:
    source = door.services.collections[name].datasources[0]
    return await door.services.questions.ask(name, source, kind, request)


def counted(door: Frontend) -> dict[str, float]:
    return {
        sample.labels["outcome"]: sample.value
        for family in text_string_to_metric_families(door.services.metrics.text().decode())
        for sample in family.samples
        if sample.name == "polytope_questions_total" and sample.value
    }


def keeping(asked: list[Any], seconds: float = 60.0) -> Reply:
    async def reply(question: Any, _: float) -> JSON:
        asked.append(question)
        return {"value": {"number": len(asked)}, "seconds": seconds}

    return reply


async def test_a_worker_answers_and_the_answer_is_kept_as_long_as_it_says(tmp_path: Path) -> None:
    asked: list[Any] = []
    async with opened(tmp_path) as door, worker(tmp_path, keeping(asked)):
        await knows_workers(door)
        assert await ask(door, param="2t") == {"number": 1}
        assert await ask(door, param="2t") == {"number": 1}
        assert await ask(door, param="msl") == {"number": 2}
        about = {"collection": "open", "datasource": "open", "kind": "echo"}
        assert asked[0] == {**about, "request": {"param": "2t"}}
        assert counted(door) == {"answered": 2, "shared": 1}


async def test_the_same_question_at_the_same_time_is_asked_once(tmp_path: Path) -> None:
    asked: list[Any] = []
    async with opened(tmp_path) as door, worker(tmp_path, keeping(asked, seconds=0)):
        await knows_workers(door)
        assert await asyncio.gather(*(ask(door) for _ in range(5))) == [{"number": 1}] * 5
        assert await ask(door) == {"number": 2}
        assert counted(door) == {"answered": 2, "shared": 4}


async def test_no_more_are_asked_at_a_time_than_the_configuration_says(tmp_path: Path) -> None:
    running = most = 0

    async def reply(question: Any, seconds: float) -> JSON:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        return {"value": 1, "seconds": 0}

    async with opened(tmp_path, questions=2) as door, worker(tmp_path, reply):
        await knows_workers(door)
        assert await asyncio.gather(*(ask(door, number=n) for n in range(20))) == [1] * 20
    assert most <= 2


async def test_what_a_data_source_does_not_answer_is_not_asked(tmp_path: Path) -> None:
    asked: list[Any] = []
    async with opened(tmp_path) as door, worker(tmp_path, keeping(asked)):
        await knows_workers(door)
        assert await ask(door, "weather") is None
        assert await ask(door, "echo", "mute") is None
        assert await ask(door, text="x" * (300 << 10)) is None
    assert asked == []


async def test_a_request_that_could_not_be_fulfilled_is_refused(tmp_path: Path) -> None:
    async def reply(question: Any, seconds: float) -> JSON:
        return {"problem": "no such page"}

    async with opened(tmp_path) as door, worker(tmp_path, reply):
        await knows_workers(door)
        with pytest.raises(RefusedError, match="no such page"):
            await ask(door)


async def problems_of(question: Any, seconds: float) -> JSON:
    found = [question["request"]["problem"], "and another"] if "problem" in question["request"] else []
    return {"value": found, "seconds": 0}


async def test_problems_that_only_the_data_show_are_the_answer_to_the_submission(tmp_path: Path) -> None:
    async with opened(tmp_path) as door, worker(tmp_path, problems_of):
        await knows_workers(door)
        refused = await door.submit("door", {"problem": "step 54 is missing"})
        assert (refused.status, refused.message) == (400, "step 54 is missing\nand another")
        assert (await door.submit("door", {"param": "2t"})).status == 202
        # Where the data source does not want it, nothing is asked.
        assert (await door.submit("open", {"problem": "step 54 is missing"})).status == 202
        assert counted(door) == {"answered": 2}


async def test_where_no_worker_answers_questions_no_submission_waits(tmp_path: Path) -> None:
    async with opened(tmp_path) as door:
        for _ in range(3):
            assert (await door.submit("door", {"problem": "x"})).status == 202
        assert counted(door) == {"skipped": 3}


@pytest.mark.parametrize(
    ("delay", "outcomes"), [(0.0, {"unanswered": 3, "skipped": 2}), (None, {"unanswered": 1, "skipped": 4})]
)
async def test_without_an_answer_in_time_a_request_is_accepted(
    tmp_path: Path, delay: float | None, outcomes: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("polytope_server.questions.asker._PAUSE", 3600.0)

    async def hang(question: Any, seconds: float) -> JSON:
        await asyncio.Event().wait()
        return None

    async with opened(tmp_path, question_wait=SHORT) as door, worker(tmp_path, hang, delay):
        await knows_workers(door)
        for number in range(5):
            began = time.monotonic()
            assert (await door.submit("door", {"problem": "x", "number": number + 1})).status == 202
            assert time.monotonic() - began < 10
        # One that does not answer is asked again after a pause, one that offers nothing when it is heard of.
        assert counted(door) == outcomes


async def test_after_the_pause_a_worker_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("polytope_server.frontend.questions._PAUSE", 0.0)
    asked: list[Any] = []

    async def reply(question: Any, seconds: float) -> JSON:
        asked.append(question)
        return None if len(asked) < 6 else {"value": 1, "seconds": 0}

    async with opened(tmp_path) as door, worker(tmp_path, reply):
        await knows_workers(door)
        assert [await ask(door) for _ in range(8)] == [None] * 5 + [1] * 3


async def test_an_answer_that_makes_no_sense_refuses_nothing(tmp_path: Path) -> None:
    answers: list[JSON] = [[], None, "x", {"value": "x"}, {"value": {"a": 1}}, {"value": 5, "seconds": "x"}]
    left = iter(answers)

    async def reply(question: Any, seconds: float) -> JSON:
        return next(left)

    async with opened(tmp_path) as door, worker(tmp_path, reply):
        await knows_workers(door)
        for _ in answers:
            assert (await door.submit("door", {"problem": "x"})).status == 202
    assert list(left) == []


async def test_a_worker_that_comes_later_is_asked(tmp_path: Path) -> None:
    async with opened(tmp_path) as door:
        assert await ask(door) is None
        async with worker(tmp_path, keeping([])):
            await knows_workers(door)
            assert await ask(door) == {"number": 1}


async def test_with_0_nothing_is_asked(tmp_path: Path) -> None:
    asked: list[Any] = []
    async with opened(tmp_path, questions=0) as door, worker(tmp_path, keeping(asked)):
        assert not door.services.questions.asks
        assert await ask(door) is None
        assert (await door.submit("door", {"problem": "x"})).status == 202
    assert asked == []
