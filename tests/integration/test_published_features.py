"""Published requests for features, at the door: taken, or refused with a sentence."""

from __future__ import annotations

import pytest
from published_door import REFUSED, submit
from published_features import FEATURE_MISTAKES, FEATURES, FEATURES_NOT_TAKEN, Published

#: Of those that their publishers show as mistakes. Defaults stand in pages of the publishers.
ACCEPTED = {
    "series without a time axis": "a series runs along steps unless it says otherwise",
    "path without an inflation": "it has a default",
    "series with steps twice": "both say the same",
    # The FDB takes keys that it does not file fields by.
    "series with a step where there is none": "it is a key of requests",
    "polygon with a step where there is none": "it is a key of requests",
    "polygon with a member where there is none": "it is a key of requests",
}


@pytest.mark.parametrize("asked", [*FEATURES, *FEATURES_NOT_TAKEN], ids=lambda one: f"{one.kind}: {one.name}")
def test_every_published_form_is_taken_or_refused_with_a_sentence(asked: Published) -> None:
    _, said = submit(asked)
    if asked.name in REFUSED:
        assert REFUSED[asked.name] in said
    else:
        assert said == ""


@pytest.mark.parametrize("asked", FEATURE_MISTAKES, ids=lambda one: f"{one.kind}: {one.name}")
def test_every_published_mistake_is_named(asked: Published) -> None:
    _, said = submit(asked)
    assert bool(said) is (asked.name not in ACCEPTED)
    # In words: no piece of Python, and not one sentence for each of many values.
    assert len(said) < 400
    assert "Error" not in said
