"""The registry of back-ends."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from polytope_server.settings import backends

#: As it is, before the stubs replace it.
plug_ins = backends.plug_ins


@pytest.fixture
def plug_in(monkeypatch):
    """Installs a plug-in `other` of every concern."""

    def install(target):
        point = EntryPoint("other", target, "polytope_server.queues")
        monkeypatch.setattr(backends, "plug_ins", lambda concern: (point,))

    return install


def test_a_plug_in_is_a_back_end_like_the_built_in_ones(plug_in):
    plug_in("json:JSONDecoder")
    assert "other" in backends.names("queue")
    assert backends.load("queue", "other").__name__ == "JSONDecoder"


def test_a_plug_in_that_lacks_a_package_names_it(plug_in):
    plug_in("no_such_package:Thing")
    with pytest.raises(backends.UnknownBackendError, match="needs the Python package 'no_such_package'"):
        backends.load("queue", "other")


@pytest.mark.parametrize(
    ("concern", "group"),
    [("datasource", "polytope_server.datasources"), ("identity", "polytope_server.identities")],
)
def test_plug_ins_are_found_by_their_group(monkeypatch, concern, group):
    asked = []
    monkeypatch.setattr(backends, "entry_points", lambda group: asked.append(group) or ())
    plug_ins.__wrapped__(concern)
    assert asked == [group]


def test_an_earlier_name_still_works():
    assert backends.load("caching", "globalvar") is backends.load("caching", "memory")


def test_an_unknown_name_is_answered_with_those_that_exist():
    with pytest.raises(
        backends.UnknownBackendError, match=r"'x' is not known and not installed; available: .*sql"
    ):
        backends.load("identity", "x")


@pytest.mark.parametrize("concern", backends.BUILT_IN)
def test_every_built_in_back_end_can_be_loaded(concern):
    for name in set(backends.BUILT_IN[concern]) - {"uninstalled"}:
        assert hasattr(backends.load(concern, name), "Settings")
