"""Round robin between sources, and between the streams of each."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from polytope_server.accounts.round_robin import RoundRobin


def line(*items: str) -> RoundRobin[str]:
    """Each item is `source/stream`, with anything after it."""
    found: RoundRobin[str] = RoundRobin()
    for item in items:
        found.add(item[0], item[2], item)
    return found


def drain(items: RoundRobin[str]) -> list[str]:
    drained = []
    while (item := items.take()) is not None:
        drained.append(item)
    return drained


def test_sources_take_turns() -> None:
    assert drain(line("a/x1", "a/x2", "b/x1", "b/x2")) == ["a/x1", "b/x1", "a/x2", "b/x2"]


def test_streams_of_a_source_take_turns() -> None:
    assert drain(line("a/x1", "a/x2", "a/y1")) == ["a/x1", "a/y1", "a/x2"]


def test_a_source_with_many_streams_gets_no_more_than_another() -> None:
    assert drain(line("a/x", "a/y", "a/z", "b/x1", "b/x2")) == ["a/x", "b/x1", "a/y", "b/x2", "a/z"]


def test_the_longest_stream_of_the_source_with_most_loses_its_last_item() -> None:
    items = line("b/x1", "b/x2", "a/x1", "a/y1", "a/y2")
    assert items.drop_from_longest() == "a/y2"
    assert drain(items) == ["b/x1", "a/x1", "b/x2", "a/y1"]


def test_there_is_nothing_in_an_empty_line() -> None:
    items = line()
    assert items.take() is None
    assert items.drop_from_longest() is None
    assert len(items) == 0


@given(st.lists(st.sampled_from(["a/x", "a/y", "b/x", "c/z", "take", "drop"]), max_size=60))
def test_nothing_is_lost_or_made_up(steps: list[str]) -> None:
    items, inside = line(), Counter[str]()
    for step in steps:
        if step == "take" or step == "drop":
            item = items.take() if step == "take" else items.drop_from_longest()
            assert (item is None) == (not inside)
            if item is not None:
                inside[item] -= 1
                inside += Counter()  # without those that are not there any more
        else:
            items.add(step[0], step[2], step)
            inside[step] += 1
        assert len(items) == inside.total()
    assert Counter(drain(items)) == inside
