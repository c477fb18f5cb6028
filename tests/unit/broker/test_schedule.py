"""The broker's choice: order, fairness, limits, and that it does not grow with what waits."""

from __future__ import annotations

import gc
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from polytope_server.broker.schedule import Schedule
from polytope_server.collection import Collection, DataSourceConfig, Limits
from polytope_server.request import Status
from polytope_server.request_store import RequestSummary
from polytope_server.user import User

_number = iter(range(10**9))


def summary(
    user: str = "a", collection: str = "c", status: Status = Status.WAITING, **fields: Any
) -> RequestSummary:
    number = next(_number)
    values: dict[str, Any] = {
        "id": f"{user}{number}",
        "realm": "r",
        "roles": ("default",),
        "attempt": 0,
        "not_before": 0.0,
        "sequence": number,
    }
    return RequestSummary(collection=collection, user_id=user, status=status, **(values | fields))


def schedule(**limits: Limits) -> Schedule:
    return Schedule({name: Collection(name, (), limits=limit) for name, limit in limits.items()})


def choose(plan: Schedule, room: int) -> list[str]:
    return list(plan.choose({"default": room}))


def living_summaries() -> int:
    return sum(isinstance(found, RequestSummary) for found in gc.get_objects())


@dataclass(frozen=True)
class CountedLimits(Limits):
    """Limits that count how often the schedule asks whether a user may run one more."""

    asked: list[str] = field(default_factory=list)

    def of_user(self, user: User) -> int | None:
        self.asked.append(user.username)
        return self.per_user if isinstance(self.per_user, int) else None


def users(ids: list[str]) -> list[str]:
    return [identity[0] for identity in ids]


def test_one_users_requests_keep_their_order() -> None:
    plan = schedule(c=Limits())
    waiting = [summary() for _ in range(5)]
    plan.update(waiting)
    assert choose(plan, 3) + choose(plan, 9) == [found.id for found in waiting]


def test_what_is_known_late_takes_its_place_in_the_order_of_submission() -> None:
    plan = schedule(c=Limits())
    waiting = [summary() for _ in range(20)]
    arrivals = waiting[15:] + waiting[5:10] + waiting[:5] + waiting[10:15]
    for late in arrivals:
        plan.update([late])
    assert list(plan.waiting(-1, None)) == sorted(waiting, key=lambda found: found.sequence)
    assert choose(plan, 99) == [found.id for found in waiting]


def test_ranges_of_what_waits_follow_every_change() -> None:
    """Against the plain way of doing it: a sorted list of those that wait."""
    chance = random.Random(5)
    plan = schedule(c=Limits(per_user=3))
    present: dict[str, RequestSummary] = {}
    for step in range(3000):
        if chance.random() < 0.5 or not present:
            new = summary(chance.choice("abc"), sequence=chance.choice([step, chance.randrange(4000)]))
            present[new.id] = new
            plan.update([new])
        elif chance.random() < 0.9:
            found = present.pop(chance.choice(list(present)))
            plan.remove(found.id)
            if chance.random() < 0.3:  # it arrives again
                present[found.id] = found
                plan.update([found])
        else:
            for identity in choose(plan, 2):
                del present[identity]
                plan.remove(identity)
        after, until = sorted(chance.randrange(4000) for _ in range(2))
        expected = {key for key, found in present.items() if after < found.sequence <= until}
        listed = list(plan.waiting(after, until))
        assert {found.id for found in listed} == expected
        assert len(listed) == len(expected)
        assert [found.sequence for found in listed] == sorted(found.sequence for found in listed)
        assert plan.newest() == max((found.sequence for found in present.values()), default=0)


def test_users_take_turns() -> None:
    plan = schedule(c=Limits())
    plan.update([summary("a") for _ in range(100)] + [summary("b") for _ in range(3)] + [summary("c")])
    assert users(choose(plan, 8)) == ["a", "b", "c", "a", "b", "a", "b", "a"]


def test_collections_take_turns() -> None:
    plan = schedule(x=Limits(), y=Limits())
    plan.update([summary("a", "x") for _ in range(9)] + [summary("b", "y") for _ in range(2)])
    assert users(choose(plan, 5)) == ["a", "b", "a", "b", "a"]


def test_room_is_not_exceeded() -> None:
    plan = schedule(c=Limits())
    plan.update([summary() for _ in range(5)])
    assert len(choose(plan, 2)) == 2
    assert choose(plan, 0) == []


def test_total_limits_active_requests_of_a_collection() -> None:
    plan = schedule(c=Limits(total=2))
    plan.update([summary(user) for user in "abc"])
    chosen = choose(plan, 9)
    assert len(chosen) == 2
    plan.claimed(chosen[0])
    assert choose(plan, 9) == []
    plan.remove(chosen[0])
    assert len(choose(plan, 9)) == 1


def test_total_zero_holds_everything() -> None:
    plan = schedule(c=Limits(total=0))
    plan.update([summary()])
    assert choose(plan, 9) == []


def test_per_user_limits_each_user() -> None:
    plan = schedule(c=Limits(per_user=2))
    plan.update([summary("a") for _ in range(5)] + [summary("b") for _ in range(5)])
    chosen = choose(plan, 99)
    assert Counter(users(chosen)) == {"a": 2, "b": 2}
    plan.remove(chosen[0])
    assert users(choose(plan, 99)) == [chosen[0][0]]


def test_the_largest_limit_of_a_users_roles_counts() -> None:
    limits = Limits(per_user=1, per_role={"r": {"small": 2, "large": 3}})
    plan = schedule(c=limits)
    plan.update([summary("a", roles=("default", "small", "large")) for _ in range(9)])
    plan.update([summary("b") for _ in range(9)])
    assert Counter(users(choose(plan, 99))) == {"a": 3, "b": 1}


def test_words_forbid_and_lift() -> None:
    limits = Limits(per_user=1, per_role={"r": {"blocked": "none", "lifted": "unlimited"}})
    plan = schedule(c=limits)
    for user, roles in {"a": ("default", "lifted"), "b": ("default", "blocked"), "c": ("default",)}.items():
        plan.update([summary(user, roles=roles) for _ in range(9)])
    assert Counter(users(choose(plan, 99))) == {"a": 9, "c": 1}


def test_a_blocked_user_does_not_block_others() -> None:
    plan = schedule(c=Limits(per_user=1))
    plan.update([summary("a") for _ in range(50)])
    assert len(choose(plan, 9)) == 1
    plan.update([summary("b")])
    assert users(choose(plan, 9)) == ["b"]


def test_a_removed_request_is_not_chosen() -> None:
    plan = schedule(c=Limits())
    first, second = summary(), summary()
    plan.update([first, second])
    plan.remove(first.id)
    assert choose(plan, 9) == [second.id]
    assert plan.count(Status.WAITING) == 0


def test_revoked_requests_leave_nothing_behind() -> None:
    plan = schedule(c=Limits(total=0))
    before = living_summaries()
    for number in range(100):
        waiting = summary(f"u{number % 3}")
        plan.update([waiting])
        plan.remove(waiting.id)
    assert plan.count(Status.WAITING) == 0
    assert list(plan.waiting(-1, None)) == []
    assert living_summaries() - before < 50


def test_what_is_active_at_the_start_counts() -> None:
    plan = schedule(c=Limits(total=2))
    plan.update([summary(status=Status.QUEUED), summary(status=Status.PROCESSING), summary()])
    assert choose(plan, 9) == []
    assert plan.count(Status.QUEUED) == 1


def test_an_unknown_collection_is_left_out() -> None:
    plan = schedule(c=Limits())
    plan.update([summary(collection="gone")])
    assert choose(plan, 9) == []
    assert not plan.knows_collection("gone")


def test_retain_active_forgets_what_is_no_longer_there() -> None:
    plan = schedule(c=Limits(total=1))
    lost, waiting = summary(status=Status.PROCESSING), summary()
    plan.update([lost, waiting])
    assert choose(plan, 9) == []
    plan.retain_active(set())
    assert choose(plan, 9) == [waiting.id]


def test_telling_it_twice_changes_nothing() -> None:
    plan = schedule(c=Limits())
    waiting = summary()
    plan.update([waiting])
    plan.update([waiting])
    assert choose(plan, 9) == [waiting.id]


def test_a_choice_costs_the_same_however_many_wait() -> None:
    """Counted in steps, not in seconds: the users that a choice looks at."""
    limits = CountedLimits(per_user=1)
    plan = schedule(c=limits)
    plan.update([summary(f"{user:05d}") for user in range(5000) for _ in range(4)])
    choose(plan, 5000)  # every user is at the limit now, 15,000 wait
    assert choose(plan, 10) == []
    limits.asked.clear()
    assert choose(plan, 10) == []
    assert limits.asked == []
    plan.update([summary("new")])
    assert len(choose(plan, 10)) == 1
    assert len(limits.asked) == 1


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), total=st.one_of(st.none(), st.integers(0, 4)), per_user=st.integers(0, 3))
def test_limits_hold_and_nobody_starves(seed: int, total: int | None, per_user: int) -> None:
    chance = random.Random(seed)
    plan = schedule(c=Limits(total=total, per_user=per_user), d=Limits(per_user=per_user))
    waiting: dict[str, RequestSummary] = {}
    active: dict[str, RequestSummary] = {}
    for _ in range(150):
        step = chance.random()
        if step < 0.4:
            new = summary(chance.choice("abc"), chance.choice("cd"))
            waiting[new.id] = new
            plan.update([new])
        elif step < 0.5 and waiting:
            gone = chance.choice(list(waiting))
            del waiting[gone]
            plan.remove(gone)
        elif step < 0.7 and active:
            gone = chance.choice(list(active))
            del active[gone]
            plan.remove(gone)
        else:
            for identity in choose(plan, chance.randrange(4)):
                active[identity] = waiting.pop(identity)
        counts = Counter((found.collection, found.user_id) for found in active.values())
        in_c = sum(found.collection == "c" for found in active.values())
        assert total is None or in_c <= total
        assert not per_user or max(counts.values(), default=0) <= per_user
        assert plan.count(Status.WAITING) == len(waiting)
        assert plan.count(Status.QUEUED) == len(active)
    for _ in range(500):  # everything runs in the end, unless its collection is closed
        for identity in list(active):
            plan.remove(identity)
            del active[identity]
        for identity in choose(plan, 9):
            active[identity] = waiting.pop(identity)
    assert all(found.collection == "c" and total == 0 for found in waiting.values())


def two_queues(**limits: int) -> Schedule:
    """A collection whose requests to the data source `tape` go to the queue `slow`."""
    sources = (DataSourceConfig("tape", "echo", {"queue": "slow"}), DataSourceConfig("disk", "echo", {}))
    return Schedule({"c": Collection("c", sources, limits=Limits(**limits))})


def test_each_queue_is_filled_with_its_own_requests() -> None:
    plan = two_queues()
    slow = [summary(datasource="tape") for _ in range(5)]
    quick = [summary(datasource="disk") for _ in range(5)]
    plan.update(slow + quick)
    chosen = plan.choose({"slow": 2, "default": 9})
    assert [key for key, queue in chosen.items() if queue == "slow"] == [found.id for found in slow[:2]]
    assert [key for key, queue in chosen.items() if queue == "default"] == [found.id for found in quick]
    assert (plan.count(Status.QUEUED, "slow"), plan.count(Status.QUEUED, "default")) == (2, 5)
    assert plan.count(Status.QUEUED) == 7


def test_a_full_queue_holds_up_no_other() -> None:
    plan = two_queues()
    plan.update([summary(datasource="tape") for _ in range(5)] + [summary(datasource="disk")])
    assert list(plan.choose({"default": 1}).values()) == ["default"]


def test_limits_hold_across_the_queues_of_a_collection() -> None:
    plan = two_queues(total=3, per_user=2)
    plan.update([summary(user, datasource=source) for user in "ab" for source in ("tape", "disk") * 2])
    chosen = list(plan.choose({"slow": 9, "default": 9}))
    assert len(chosen) == 3
    assert max(Counter(users(chosen)).values()) == 2
    assert not plan.choose({"slow": 9, "default": 9})


def test_a_place_that_becomes_free_in_one_queue_serves_the_other() -> None:
    plan = two_queues(per_user=1)
    first, second = summary(datasource="tape"), summary(datasource="disk")
    plan.update([first, second])
    assert list(plan.choose({"slow": 9, "default": 9})) == [first.id]
    plan.remove(first.id)
    assert plan.choose({"slow": 9, "default": 9}) == {second.id: "default"}


def test_requests_are_counted_by_collection_in_each_state() -> None:
    plan = schedule(x=Limits(), y=Limits())
    plan.update([summary("a", "x") for _ in range(3)] + [summary("b", "y")])
    assert [plan.count_of(Status.WAITING, name) for name in "xy"] == [3, 1]
    queued = list(plan.choose({"default": 2}))
    plan.claimed(queued[0])
    assert [plan.count_of(Status.QUEUED, name) for name in "xy"] == [0, 1]
    assert [plan.count_of(Status.PROCESSING, name) for name in "xy"] == [1, 0]
    assert [plan.count_of(Status.WAITING, name) for name in "xy"] == [2, 0]
    for request_id in queued:
        plan.remove(request_id)
    assert not any(
        plan.count_of(status, name) for status in (Status.QUEUED, Status.PROCESSING) for name in "xy"
    )
