"""Collections and their data sources."""

from __future__ import annotations

import pytest

from polytope_server.collection import DataSourceConfig, Limits
from polytope_server.config import coercion_rules, source_rules


def sources(configuration, name="c"):
    return configuration.collections[name].datasources


def test_collections_keep_their_order_roles_and_limits(config):
    text = """
datasources: {d: {type: stub}}
collections:
  z: {roles: {r: [x]}, datasources: [d], limits: {total: 0, per-user: 2, per-role: {r: {x: 3}}}}
  a: {roles: any, datasources: [d]}
"""
    collections = config(text).collections
    assert list(collections) == ["z", "a"]
    assert (collections["z"].name, collections["z"].roles) == ("z", {"r": ["x"]})
    assert collections["z"].limits == Limits(0, 2, {"r": {"x": 3}})
    assert collections["a"].limits == Limits()


def test_parents_come_first_then_the_data_source_then_overrides(config):
    text = """
datasources:
  grandparent: {match: {class: [od]}, url: g, size: 1}
  mother: {parents: [grandparent], match: {class: [rd]}, size: 2}
  father: {match: {stream: [oper]}, size: 3}
  d: {type: stub, parents: [mother, father], match: {class: [ea]}}
collections:
  c: {roles: x, datasources: [{name: d, match: {class: [ai]}, url: o}]}
"""
    assert sources(config(text)) == (
        DataSourceConfig(
            "d",
            "stub",
            {
                "match": {"class": ["od", "rd", "ea", "ai"], "stream": ["oper"]},
                "url": "o",
                "size": 3,
                "type": "stub",
                "name": "d",
            },
        ),
    )


def test_an_override_of_null_removes_what_the_data_source_and_its_parents_say(config):
    text = """
datasources:
  p: {size: 2, match: {class: od}}
  d: {type: stub, parents: [p], size: 3}
collections: {c: {roles: x, datasources: [{name: d, size: null, match: {class: null}}]}}
"""
    (source,) = sources(config(text))
    assert source.keys == {"type": "stub", "name": "d", "match": {}}


def test_null_keys_of_a_data_source_are_absent(config):
    (source,) = sources(
        config("datasources: {d: {type: stub, size: , roles: }}\ncollections: {c: {datasources: [d]}}")
    )
    assert source.keys == {"type": "stub", "name": "d"}


def test_general_keys_are_typed(config):
    text = "datasources: {d: {type: stub, max_attempts: '5', match: }}\ncollections: {c: {datasources: [d]}}"
    (source,) = sources(config(text))
    assert source.keys == {"type": "stub", "name": "d", "max_attempts": 5}


@pytest.mark.parametrize(("given", "kept"), [("unlimited", "unlimited"), ("1G", 1 << 30)])
def test_the_memory_of_a_request_is_a_size_or_unlimited(config, given, kept):
    text = (
        f"datasources: {{d: {{type: stub, max_memory: {given}}}}}\ncollections: {{c: {{datasources: [d]}}}}"
    )
    (source,) = sources(config(text))
    assert source.keys["max_memory"] == kept


def test_a_data_source_listed_twice_gets_two_names(config):
    text = """
datasources: {d: {type: stub}}
collections: {c: {roles: x, datasources: [{name: d, size: 1}, {name: d, size: 2}, d]}}
"""
    found = sources(config(text))
    assert [source.name for source in found] == ["d", "d-2", "d-3"]
    assert [source.keys.get("size") for source in found] == [1, 2, None]


def test_a_data_source_may_be_written_out_in_the_collection(config):
    (source,) = sources(config("collections: {c: {roles: x, datasources: [{name: own, type: stub}]}}"))
    assert (source.name, source.type) == ("own", "stub")


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ("datasources: []", ".datasources: value [...]: List should have at least 1 item"),
        ("datasources: [x]", ".datasources[0]: no data source 'x'; known: d, e, p, q"),
        ("datasources: [{}]", ".datasources[0].name: is missing: the name of a data source"),
        ("datasources: [[d]]", ".datasources[0]: value [...]: expected the name of a data source, or {name"),
        ("datasources: [{name: p}]", ".datasources[0].type: is missing; available: "),
        ("datasources: [{name: d, type: [1]}]", ".datasources[0].type: is missing; available: "),
        ("datasources: [{name: d, siz: 0}]", ".datasources[0].siz: value 0: unknown key; did you mean"),
        ("datasources: [{name: d, parents: p}]", ".datasources[0].parents: value 'p': expected a list"),
        ("datasources: [{name: d, parents: [x]}]", ".datasources[0].parents[0]: no data source 'x'; known"),
        ("datasources: [d], limits: {total: -1}", ".limits.total: value -1: expected greater than or"),
        (
            "datasources: [d], roles: [[1]]",
            ".roles: value [...]: expected roles by realm ({realm: [role]}), a",
        ),
    ],
)
def test_a_collection_that_cannot_work(problems, keys, problem):
    base = "datasources: {d: {type: stub}, e: {type: strict}, p: {size: 1}, q: {parents: [e]}}"
    found = problems(base, f"collections: {{c: {{{keys}}}}}")
    assert any(text.startswith(f"2.yaml:1: collections.c{problem}") for text in found), found


@pytest.mark.parametrize(
    ("keys", "lacks"), [("size: 1", "type: is missing; available: "), ("type: strict", "path: is missing: W")]
)
def test_what_a_used_data_source_lacks_is_told_there(problems, keys, lacks):
    used = "collections: {c: {roles: x, datasources: [d]}}"
    (problem,) = problems(f"datasources: {{d: {{{keys}}}}}", used)
    assert problem.startswith(f"1.yaml:1: datasources.d.{lacks}")


def test_an_empty_data_source_cannot_be_used(problems):
    (problem,) = problems("datasources: {d: }\ncollections: {c: {roles: x, datasources: [d]}}")
    assert problem.startswith("1.yaml:2: collections.c.datasources[0].type: is missing; available: ")


@pytest.mark.parametrize("name", ["a/b", "''", "'.'", "'..'"])
def test_a_name_that_no_collection_can_have(problems, name):
    text = f"datasources: {{d: {{type: stub}}}}\ncollections: {{{name}: {{roles: x, datasources: [d]}}}}"
    (problem,) = problems(text)
    assert "cannot be the name of a collection: not empty, not '.' or '..', and no '/'" in problem


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ("type: stub, siz: 1", "siz: value 1: unknown key; did you mean 'size'?"),
        ("type: stub, mach: {}", "mach: value {...}: unknown key; did you mean 'match'?"),
        ("type: stub, match: [a]", "match: value [...]: expected a mapping"),
        (
            "type: stub, match: {date: [nonsense]}",
            "match.date: key 'date': date rule 'nonsense' is not accepted",
        ),
        ("type: stub, match: {class: {a: 1}}", "match.class: key 'class': "),
        ("type: stub, match: {Class: a, class: a}", "match.Class: key 'class' is given twice"),
        ("type: stub, defaults: {step: x}", "defaults.step: key 'step': "),
        ("type: stub, patch: {step: x}", "patch.step: key 'step': "),
        (
            "type: stub, max_memory: 1M",
            "max_memory: value '1M': expected unlimited, or a size of 256M or more",
        ),
        ("type: stub, max_attempts: 0", "max_attempts: value 0: expected greater than or equal to 1"),
        ("type: strict", "path: is missing: Where the data are."),
        ("type: stob", "type: datasource 'stob' is not known and not installed; available: "),
        ("parents: d", "parents: value 'd': expected a list"),
        ("parents: [[d]]", "parents[0]: value [...]: expected a text"),
        ("parents: [e]", "parents[0]: no data source 'e'; known: d"),
        ("parents: [d]", "parents[0]: parents form a circle: d -> d"),
    ],
)
def test_a_data_source_that_nobody_uses_is_checked_too(problems, keys, problem):
    (found,) = problems(f"datasources: {{d: {{{keys}}}}}")
    assert found.startswith(f"1.yaml:1: datasources.d.{problem}")


def test_a_circle_of_parents_is_told_with_its_members(problems):
    text = (
        "datasources: {a: {parents: [b]}, b: {parents: [a]}}\ncollections: {c: {roles: x, datasources: [a]}}"
    )
    assert "1.yaml:1: datasources.b.parents[0]: parents form a circle: a -> b -> a" in problems(text)


def test_a_mistake_of_a_parent_is_told_once_where_it_is(problems):
    first = "datasources: {p: {match: {date: nonsense}}}\n"
    second = """
datasources:
  d: {type: stub, parents: [p]}
  e: {type: stub, parents: [p]}
collections: {c: {roles: x, datasources: [d, e]}}
"""
    (problem,) = problems(first, second)
    assert problem.startswith("1.yaml:1: datasources.p.match.date: ")


def test_a_parent_may_lack_what_its_children_have(config):
    text = """
datasources:
  p: {type: strict}
  d: {parents: [p], path: /data}
  e: {match: {class: od}}
collections: {c: {roles: x, datasources: [d]}}
"""
    assert sources(config(text))[0].keys["path"] == "/data"


def test_an_unused_data_source_of_a_type_that_is_not_available_is_a_warning(warnings):
    found = warnings("datasources: {m: {type: unbuilt, command: x}, u: {type: uninstalled}}")
    assert found[0].startswith(
        "1.yaml:1: datasources.m.type: datasource 'unbuilt' is not part of this version; "
    )
    assert "pip install no_such_package`" in found[1]


def test_a_used_data_source_of_a_type_that_is_not_built_is_an_error(problems):
    text = "datasources: {m: {type: unbuilt, command: x}}\ncollections: {c: {roles: x, datasources: [m]}}"
    (problem,) = problems(text)
    assert problem.startswith(
        "1.yaml:1: datasources.m.type: datasource 'unbuilt' is not part of this version; "
    )


@pytest.mark.parametrize("roles", ["", "roles: , ", "roles: {}, ", "roles: [], "])
def test_a_collection_that_nobody_can_use_is_warned_of(warnings, roles):
    text = f"datasources: {{d: {{type: stub}}}}\ncollections: {{c: {{{roles}datasources: [d]}}}}"
    assert warnings(text) == ["1.yaml:2: collections.c: has no roles, so no user may use it"]


def test_rules_of_a_data_source():
    keys = {"roles": {"r": ["x"]}, "match": {"class": "od"}, "defaults": {"a": 1}, "patch": {"b": 2}}
    rules = source_rules(DataSourceConfig("d", "feature", keys))
    assert (rules.roles, rules.match, rules.defaults) == (keys["roles"], keys["match"], keys["defaults"])
    assert (rules.patch, rules.accepts_feature) == (keys["patch"], True)
    assert (rules.accepts_mappings, rules.aliases) == (False, {"level": "levelist"})
    assert source_rules(DataSourceConfig("d", "stub", {"roles": None})).roles == ()


def test_rules_of_coercion_are_added_to_the_built_in_ones(config):
    rules = coercion_rules(
        config("coercion: {allow_lists: [x], allow_ranges: [y], number_allow_zero: true}").settings
    )
    assert {"x", "param"} <= rules.allow_lists
    assert {"y", "date"} <= rules.allow_ranges
    assert rules.number_allow_zero


def test_limits_of_users_may_be_words_and_numbers_as_text(config):
    limits = "{per-user: none, per-role: {r: {a: unlimited, b: none, c: 0, d: '7'}}}"
    found = config(
        f"datasources: {{d: {{type: dummy}}}}\ncollections: {{c: {{datasources: [d], limits: {limits}}}}}"
    )
    assert found.collections["c"].limits == Limits(
        None, "none", {"r": {"a": "unlimited", "b": "none", "c": 0, "d": 7}}
    )


def test_a_key_given_by_two_of_its_names_is_a_problem(problems):
    text = "datasources: {d: {type: feature, match: {level: 1, levelist: 2}, defaults: {where: {a: 1}}}}"
    found = "\n".join(problems(text + "\ncollections: {c: {datasources: [d]}}"))
    assert "key 'levelist' is given twice, as level and levelist" in found
    assert "key 'where': {'a': 1} is not accepted" in found
