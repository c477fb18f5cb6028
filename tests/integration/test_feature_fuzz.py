"""Generated requests for features at the door: each is taken or refused with a sentence, and soon.

FUZZ_FEATURES=<number> makes more or fewer of them, FUZZ_SEED=<number> others.
"""

from __future__ import annotations

import time
from collections import Counter

import pytest
from generated_features import COUNT, FEATURES, SEED, Generator

from polytope_server.collection import DataSourceConfig
from polytope_server.datasource.fdb import keys
from polytope_server.datasource.fdb.metkit import tables
from polytope_server.datasource.polytope.check import FeatureCheck, implied_keys
from polytope_server.features import DEFAULT_LIMITS
from polytope_server.frontend.refusals import RefusedError
from polytope_server.frontend.source_selection import Source, SourceSelection
from polytope_server.language import MAX_VALUES, CoercionRules, SourceRules
from polytope_server.request import Verb
from polytope_server.user import User

#: Seconds for a request on a busy machine.
LONGEST = 3.0


def make_selection() -> tuple[SourceSelection, list[Source]]:
    """Three data sources, as a frontend has them."""
    check = FeatureCheck(None, tables(), DEFAULT_LIMITS)
    sources = [
        Source(
            DataSourceConfig(name, "polytope", {}),
            SourceRules(match=match, accepts_feature=True, implied=implied_keys, aliases=keys.ALIASES),
            False,
            check=check,
        )
        for name, match in {
            "steps": {"step": [0, 6, 12]},
            "dates": {"date": "20200101/to/20260101", "levelist": "1/to/1000"},
            "rest": {},
        }.items()
    ]
    return SourceSelection({"c": sources}, CoercionRules()), sources


@pytest.fixture(scope="module")
def outcomes() -> list[tuple[str, str, float]]:
    """Of each request: its text, what its user reads, and the seconds that it took."""
    print(f"FUZZ_SEED={SEED} FUZZ_FEATURES={COUNT}")
    selection, sources = make_selection()
    generator, user, found = Generator(), User("alice", "test"), []
    for number in range(COUNT):
        text = generator.request(number)
        begun, said = time.perf_counter(), ""
        try:
            source, request = selection.select(sources, user, text, Verb.RETRIEVE, MAX_VALUES)
            source.check_request(request, Verb.RETRIEVE)
        except RefusedError as error:
            said = str(error)
        found.append((text, said, time.perf_counter() - begun))
    return found


def test_requests_of_every_kind_are_taken_and_refused(outcomes: list[tuple[str, str, float]]) -> None:
    kinds = Counter(
        (feature["type"], not said)
        for feature in FEATURES
        for text, said, _ in outcomes
        if f'"{feature["type"]}"' in text
    )
    assert {kind for kind, taken in kinds if taken} == {kind for kind, taken in kinds if not taken}
    assert len({said for _, said, _ in outcomes}) > COUNT / 6


def test_each_is_answered_soon_with_a_short_text(outcomes: list[tuple[str, str, float]]) -> None:
    slowest = max(outcomes, key=lambda one: one[2])
    assert slowest[2] < LONGEST, slowest[0][:500]
    assert max(len(said) for _, said, _ in outcomes) < 20_000


def test_what_is_taken_is_finite_and_in_order(outcomes: list[tuple[str, str, float]]) -> None:
    for text, said, _ in outcomes:
        assert said or not any(word in text for word in ("NaN", "Infinity", "1e+308", "1e400"))
