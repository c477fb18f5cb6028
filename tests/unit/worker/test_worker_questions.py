"""Questions of frontends, answered by a worker: beside its requests, in other children, in bounded time."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pipeline_site import SETTINGS, Site
from prometheus_client.parser import text_string_to_metric_families

from polytope_server.caching import JSON
from polytope_server.notices import Topic
from polytope_server.notices.local import LocalNotices, LocalNoticesSettings
from polytope_server.questions.asker import Asker, NoAnswerError
from polytope_server.request import Status
from polytope_server.testing.waiting import until
from polytope_server.worker.children import Child

SECTIONS: dict[str, Any] = {
    "datasources": {"a": {"type": "answering"}, "slow": {"type": "answering", "queue": "slow"}},
    "collections": {name: {"roles": ["default"], "datasources": [name]} for name in ("a", "slow")},
}
#: Seconds; a child takes one to start, and more on a busy machine.
LONG = 60.0


class Frontend:
    """What asks questions of the worker."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.notices = LocalNotices(LocalNoticesSettings(), site.data)
        self.asker = Asker(self.notices)

    async def open(self) -> None:
        await self.notices.open()
        await self.notices.subscribe({Topic.ANSWER}, self.asker.receive)
        self.asker.look_for_workers()
        await until(lambda: self.asker.knows_workers)

    async def ask(self, kind: str = "echo", source: str = "a", seconds: float = LONG, **request: Any) -> Any:
        about: dict[str, JSON] = {"collection": source, "datasource": source, "kind": kind}
        return await self.asker.ask(about, {**about, "request": request}, seconds)

    def counted(self) -> dict[str, float]:
        return {
            sample.labels["outcome"]: sample.value
            for family in text_string_to_metric_families(self.site.worker.metrics.text().decode())
            for sample in family.samples
            if sample.name == "polytope_worker_questions_total" and sample.value
        }

    def children(self) -> int:
        """How many children for questions there are."""
        found = self.site.parts.question_children
        assert found is not None
        return found.started


@pytest.fixture
async def door(tmp_path: Path, answering: None, request: pytest.FixtureRequest) -> AsyncIterator[Frontend]:
    keys = {**SETTINGS["worker"], "concurrency": 1, **getattr(request, "param", {})}
    site = Site(tmp_path, **SECTIONS, worker=keys)
    await site.store.open()
    site.start()
    await until(site.parts.children.living)
    door = Frontend(site)
    await door.open()
    yield door
    await door.notices.close()
    await site.end()
    await site.store.close()


async def test_a_question_is_answered_while_all_children_are_busy(door: Frontend, tmp_path: Path) -> None:
    request = await door.site.submit("a", coerced_request={"until": str(tmp_path / "over")})
    await until(lambda: door.site.works_on(request))
    assert door.children() == 0
    first = await door.ask(param="2t")
    assert first["value"]["request"] == {"param": "2t"}
    assert (await door.ask())["value"]["pid"] == first["value"]["pid"] != os.getpid()
    assert door.site.works_on(request)
    (tmp_path / "over").touch()
    assert (await door.site.ended(request)).status is Status.PROCESSED
    assert door.counted() == {"answered": 2}


async def test_a_child_that_is_late_finishes_and_is_there_for_the_next_question(
    door: Frontend, tmp_path: Path
) -> None:
    pid = (await door.ask())["value"]["pid"]
    with pytest.raises(NoAnswerError):
        await door.ask("hang", seconds=0.1, until=str(tmp_path / "over"))
    (tmp_path / "over").touch()
    assert (await door.ask())["value"]["pid"] == pid
    assert door.counted() == {"answered": 2, "timed_out": 1}


async def test_a_child_that_does_not_answer_in_time_is_replaced(door: Frontend) -> None:
    children = door.site.parts.question_children
    assert children is not None
    children.time = 0.2
    pid = (await door.ask())["value"]["pid"]
    with pytest.raises(NoAnswerError):
        await door.ask("hang", seconds=0.1)
    assert (await door.ask())["value"]["pid"] != pid
    await until(lambda: not _alive(pid))
    assert door.counted() == {"answered": 2, "timed_out": 1}


async def test_a_child_that_dies_is_replaced_and_its_asker_does_not_wait(door: Frontend) -> None:
    pid = (await door.ask())["value"]["pid"]
    assert await door.ask("crash") is None
    second = (await door.ask())["value"]["pid"]
    os.kill(second, signal.SIGKILL)
    await until(lambda: not _alive(second))
    assert len({pid, second, (await door.ask())["value"]["pid"]}) == 3
    assert door.counted() == {"answered": 3, "failed": 1}


async def test_every_outcome_reaches_the_asker(door: Frontend) -> None:
    assert await door.ask("refuse") == {"problem": "no such page"}
    assert await door.ask("nothing") == {"value": None, "seconds": 0.0}
    assert await door.ask("echo", keep=5) == {
        "value": {"request": {"keep": 5}, "pid": (await door.ask())["value"]["pid"]},
        "seconds": 5.0,
    }
    largest = await door.ask("large", size=250_000)
    assert len(largest["value"]) == 250_000
    for kind in ("retry", "infinite"):
        assert await door.ask(kind) is None
    assert await door.ask("large", size=300_000) is None
    assert "more memory" in (await door.ask("hungry"))["problem"]


async def test_a_question_that_comes_before_the_child_is_ready_leaves_it_to_the_next(
    door: Frontend, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_start, start = asyncio.Event(), Child.start

    async def start_late(*arguments: Any) -> Child:
        await may_start.wait()
        return await start(*arguments)

    monkeypatch.setattr(Child, "start", start_late)
    with pytest.raises(NoAnswerError):
        await door.ask(seconds=0.15)
    may_start.set()
    await door.ask()
    assert door.children() == 1


async def test_a_child_without_questions_is_ended(door: Frontend) -> None:
    children = door.site.parts.question_children
    assert children is not None
    children.idle_time = 0.01
    pid = (await door.ask())["value"]["pid"]
    await until(lambda: not _alive(pid))
    assert door.children() == 0
    assert (await door.ask())["value"]["pid"] != pid


@pytest.mark.parametrize("door", [{"queues": ["default"]}], indirect=True)
async def test_what_this_worker_does_not_serve_it_does_not_answer(door: Frontend) -> None:
    for source, kind in (("slow", "echo"), ("a", "weather"), ("unknown", "echo")):
        with pytest.raises(NoAnswerError):
            await door.ask(kind, source, seconds=0.05)
        await until(lambda: door.asker.knows_workers or door.asker.look_for_workers())
    assert door.children() == 0


@pytest.mark.parametrize("door", [{"questions": 2}], indirect=True)
async def test_several_children_answer_at_a_time_and_the_rest_waits(door: Frontend) -> None:
    answers = await asyncio.gather(*(door.ask(number=number) for number in range(12)))
    assert len({answer["value"]["pid"] for answer in answers}) == 2
    assert [answer["value"]["request"]["number"] for answer in answers] == list(range(12))


async def test_a_worker_that_is_full_offers_nothing(door: Frontend) -> None:
    children = door.site.parts.question_children
    assert children is not None
    children.load = 8
    with pytest.raises(NoAnswerError):
        await door.ask(seconds=0.2)
    children.load = 0
    assert door.counted() == {}


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
