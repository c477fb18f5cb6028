"""The published requests differ in form: in their keys, or in the kinds of spelling of a value."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable
from typing import Any

import pytest
from published_features import FEATURE_MISTAKES, FEATURES, FEATURES_NOT_TAKEN, Published
from published_requests import ACCEPTED, OWN_METKIT

from polytope_server.language import parse

#: What makes a difference by itself: the words of the language of requests.
WORDS = {"to", "by", "all", "off", "retrieve"}


def form_of(value: Any) -> Hashable:
    """Whether it is a text, a number, a list or keys with values, and how its texts are spelled.

    Digits and letters stand for all others, two items for several alike that follow each other.
    """
    if isinstance(value, dict):
        return frozenset((key, form_of(item)) for key, item in value.items())
    if isinstance(value, list | tuple):
        return shortened([form_of(item) for item in value])
    if not isinstance(value, str):
        return "a number"
    return shortened([spelling_of(item) for item in value.split("/")])


def shortened(items: list[Hashable]) -> Hashable:
    """The items without the third and later ones of a row of the same ones."""
    return tuple(item for at, item in enumerate(items) if [item] * 2 != items[max(at - 2, 0) : at])


def form_of_feature(value: Any) -> Hashable:
    """The same for a feature, whose words matter, and how many values a point has."""
    if isinstance(value, dict):
        return frozenset((key, form_of_feature(item)) for key, item in value.items())
    if not isinstance(value, list | tuple):
        return value if isinstance(value, str) and not spelling_of(value).startswith("9") else form_of(value)
    items = [form_of_feature(item) for item in value]
    return shortened(items) if any(isinstance(item, list) for item in value) else tuple(items)


def spelling_of(text: str) -> str:
    if text.strip().lower() in WORDS:
        return text.strip().lower()
    return re.sub("[0-9]+", "9", re.sub("[A-Z]+", "A", re.sub("[a-z]+", "a", text)))


def read(given: Any) -> Hashable:
    return ("text", form_of(parse(given))) if isinstance(given, str) else form_of(given)


def form_of_published(asked: Published) -> Hashable:
    keys = {key: value for key, value in asked.request.items() if key != "feature"}
    return asked.kind, form_of(keys), form_of_feature(asked.request["feature"])


@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted_requests_of_a_collection_differ_in_form(name: str) -> None:
    assert repeated([(read(given), given) for given in ACCEPTED[name]]) == []


def test_requests_of_a_centre_differ_in_form() -> None:
    assert repeated([(read(given), given) for given in OWN_METKIT]) == []


def test_requests_for_features_differ_in_form_and_name() -> None:
    asked = [*FEATURES, *FEATURES_NOT_TAKEN]
    assert repeated([(form_of_published(one), one.name) for one in asked]) == []
    assert repeated([((one.kind, one.name), one) for one in [*asked, *FEATURE_MISTAKES]]) == []


def repeated(found: list[tuple[Hashable, Any]]) -> list[list[Any]]:
    """What has a form in common with others."""
    counts = Counter(form for form, _ in found)
    return [[one for form, one in found if form == many] for many, count in counts.items() if count > 1]
