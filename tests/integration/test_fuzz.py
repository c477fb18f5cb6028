"""10,000 generated calls: no 5xx, no hang, no stack trace, no data of another user.

FUZZ_SEED=<number> takes another seed, FUZZ_COUNT=<number> more or fewer calls. A call depends on the seed
and its number only (and on the ids, which differ from run to run).
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from caller import Caller
from fuzz_answers import Connection, Outcome, judge
from fuzz_calls import COUNT, SEED, Generator
from fuzz_material import Call, World

from testbed.server import CONFIG, StandaloneServer

pytestmark = pytest.mark.unmeasured

THREADS = 8
MARKER = "bobs-" + secrets.token_hex(8)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, caller_of: type[Caller]) -> Iterator[World]:
    everybody = {"roles": {"test": ["default"]}}
    config = {
        "frontend": {"poll_wait": 0.02},
        "datasources": {
            **CONFIG["datasources"],
            "strict": {"type": "echo", "match": {"class": ["od", "rd"], "secretkey": []}},
        },
        "collections": {
            "echo": {**everybody, "datasources": ["echo"]},
            "raise": {**everybody, "datasources": ["raise"]},
            "strict": {**everybody, "datasources": ["strict"], "limits": {"total": 0}},
            "held": {**everybody, "datasources": ["echo"], "limits": {"total": 0}},
            "private": {"datasources": ["echo"]},
        },
    }
    with StandaloneServer(tmp_path_factory.mktemp("fuzz") / "data", config) as server:
        bob, alice = caller_of(server, "bob"), caller_of(server, "alice")
        bobs = [
            bob.submit("echo", MARKER),
            bob.submit("raise", MARKER),
            bob.submit("held", MARKER),
            bob.submit("echo", {"a": MARKER}, "archive"),
        ]
        bobs_link = bob.end_of(bobs[0]).headers["Location"]
        assert bob.end_of(bobs[1]).status_code == 400
        link = alice.link("echo", "some text of alice")
        alices = [alice.submit("echo", "x", "archive") for _ in range(20)] + [alice.submit("held", "x")]
        yield World(server, bobs, alices, link, bobs_link)


@pytest.fixture(scope="module")
def outcome(world: World) -> Outcome:
    """All the calls, made once."""
    print(f"FUZZ_SEED={SEED} FUZZ_COUNT={COUNT}")
    generator = Generator(world)
    outcome = Outcome()
    secret = [MARKER.encode(), world.bobs_link.rpartition("/")[2].encode()]

    def run(numbers: range) -> None:
        connection = Connection(world.server.port)
        for number in numbers:
            call = generator.call(number)
            try:
                answer = connection.throw(call) if call.rough else connection.ask(call)
            except TimeoutError:
                outcome.note("hang", number, call, "nothing")
                connection.close()
            except ConnectionError as error:
                outcome.note("no answer", number, call, str(error))
                connection.close()
            else:
                judge(outcome, number, call, answer, secret)
        connection.close()

    started = time.monotonic()
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(run, [range(start, COUNT, THREADS) for start in range(THREADS)]))
    print(f"{COUNT} calls in {time.monotonic() - started:.1f} s: {sorted(outcome.statuses.items())}")
    return outcome


@pytest.mark.parametrize(
    "kind",
    ["5xx", "hang", "no answer", "stack trace", "data of another user", "missing header", "odd error body"],
)
def test_no_call_has_a_bad_answer(outcome: Outcome, kind: str) -> None:
    found = outcome.problems.get(kind, [])
    assert not found, f"{len(found)} calls, the first of them:\n" + "\n".join(found[:5])


def test_the_calls_reach_every_kind_of_answer(outcome: Outcome) -> None:
    assert {200, 202, 206, 304, 400, 401, 403, 404, 405, 410, 416, 501} <= set(outcome.statuses)


def test_another_users_requests_are_as_they_were(
    outcome: Outcome, world: World, caller_of: type[Caller]
) -> None:
    bob = caller_of(world.server, "bob")
    documents = bob.get("/requests").json()["message"]
    assert [document["id"] for document in documents] == world.bobs
    assert [document["status"] for document in documents] == ["processed", "failed", "waiting", "uploading"]
    assert bob.get(world.bobs_link.removeprefix("..")).text == MARKER


def test_the_server_works_as_before(outcome: Outcome, world: World, caller_of: type[Caller]) -> None:
    alice = caller_of(world.server, "alice")
    assert alice.get("/test").json() == {"message": "Polytope server is alive"}
    assert alice.get(alice.link("echo", "still here")).content == b"still here"


def test_the_log_holds_no_traceback(outcome: Outcome, world: World) -> None:
    log = world.server.log.read_text(errors="replace")
    assert "Traceback" not in log, log[log.index("Traceback") - 1000 :][:4000]


def test_the_same_seed_makes_the_same_calls(world: World) -> None:
    make: Callable[[int], Call] = Generator(world).call
    assert [make(number).data for number in range(50)] == [make(number).data for number in range(50)]
