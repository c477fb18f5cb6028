"""Which fields go through MIR together."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from polytope_server.datasource import DataSourceError
from polytope_server.datasource.fdb.metkit import Tables, tables
from polytope_server.datasource.fdb.postprocess.recipe import Recipe
from polytope_server.datasource.fdb.postprocess.tables import WIND
from polytope_server.datasource.fdb.postprocess.tables import tables as known_to_mir
from polytope_server.datasource.fdb.postprocess.vectors import Part, divide
from polytope_server.datasource.fdb.postprocess.winds import Sources, find_sources

TOGETHER = {"uv2uv": "1"}
TURNED = Recipe({"grid": "1/1", "rotation": "-35/15"})


def parts(recipe: Recipe = TURNED, **wanted: list[str]) -> list[Part]:
    return list(divide(wanted, recipe, tables()))


def test_without_a_rotation_all_fields_go_one_by_one() -> None:
    wanted = {"param": ["u", "v", "t"], "step": ["0", "6"]}
    assert parts(Recipe({"grid": "1/1"}), **wanted) == [Part(wanted)]


def test_a_vector_is_a_part_for_each_choice_of_the_other_keys() -> None:
    found = parts(param=["v", "t", "u"], step=["0", "6"], levelist=["500"])
    assert found == [
        Part({"param": ["t"], "step": ["0", "6"], "levelist": ["500"]}),
        Part({"param": ["u", "v"], "step": ["0"], "levelist": ["500"]}, pair=WIND, options=TOGETHER),
        Part({"param": ["u", "v"], "step": ["6"], "levelist": ["500"]}, pair=WIND, options=TOGETHER),
    ]


def test_names_and_numbers_make_a_pair() -> None:
    assert parts(param=["10u", "166.128"]) == [
        Part({"param": ["10u", "166.128"]}, pair=(165, 166), options=TOGETHER)
    ]


@pytest.mark.parametrize("known", [tables(), None])
def test_numbers_of_other_tables_make_a_pair(known: Tables | None) -> None:
    (found,) = divide({"param": ["131.200", "132.200"]}, TURNED, known)
    assert found == Part({"param": ["131.200", "132.200"]}, pair=(200131, 200132), options=TOGETHER)


def test_two_names_of_one_component_are_one() -> None:
    assert parts(param=["u", "131", "v"])[-1] == Part({"param": ["u", "v"]}, pair=WIND, options=TOGETHER)


def test_another_name_of_a_component_is_not_alone() -> None:
    together = Part({"param": ["131", "132"]}, pair=WIND, options=TOGETHER)
    assert parts(param=["131", "132", "u"]) == [together]
    assert parts(param=["131", "132", "v", "t"]) == [Part({"param": ["t"]}), together]


def test_values_that_mean_the_same_are_taken_once() -> None:
    found = parts(param=["u", "v"], step=["0", "6", "12", "06"])
    assert [part.selection["step"] for part in found] == [["0"], ["6"], ["12"]]


def test_half_a_vector_stays_with_the_scalars() -> None:
    assert parts(param=["u", "t"]) == [Part({"param": ["u", "t"]})]


def test_without_names_numbers_are_known() -> None:
    found = list(divide({"param": ["131", "132", "2t"]}, TURNED, None))
    assert found == [Part({"param": ["2t"]}), Part({"param": ["131", "132"]}, pair=WIND, options=TOGETHER)]


def test_parts_are_made_one_at_a_time() -> None:
    many = [str(number) for number in range(10_000)]
    wanted = {"param": ["u", "v"], "step": many, "number": many}
    assert next(divide(wanted, TURNED, tables())).pair


def sources(*params: str, there: set[str]) -> Sources:
    """Where the fields come from if an FDB answers for winds with the parameters that are `there`."""

    def filed(selection: dict[str, list[str]]) -> set[str]:
        assert {*selection["param"]} <= {"u", "v", "131", "132"}
        return there

    return find_sources({"param": list(params), "step": ["0"]}, tables(), filed)


def test_winds_that_are_stored_are_read() -> None:
    found = sources("u", "v", there={"131", "132"})
    assert found.named == found.wanted == {"param": ["u", "v"], "step": ["0"]}


def test_winds_that_are_not_stored_are_made() -> None:
    found = sources("u", "t", "v", there={"138", "155"})
    assert found.named == {"param": ["t"], "step": ["0"]}
    assert found.winds == {"param": ["138", "155"], "step": ["0"]}
    assert found.wanted == {"param": ["u", "t", "v"], "step": ["0"]}
    assert found.options == {"vod2uv": "1"}


def test_one_component_of_a_wind_is_made() -> None:
    assert sources("u", there={"138", "155"}).options == {"vod2uv": "1", "u-only": "1"}
    assert sources("132", there={"138", "155"}).options == {"vod2uv": "1", "v-only": "1"}


def test_a_wind_is_there_if_both_its_sources_are() -> None:
    stored = {("130", "0"), ("138", "0"), ("155", "0"), ("155", "6"), ("138", "6"), ("138", "12")}

    def look(selection: dict[str, list[str]]) -> Iterator[tuple[dict[str, str], int]]:
        for param, step in sorted(stored):
            if param in selection["param"] and step in selection["step"]:
                yield {"param": param, "step": step}, 10

    found = sources("u", "130", "v", "131", there={"138", "155"})
    there = list(found.look(look, {"param": ["u", "130", "131"], "step": ["0", "6", "12"]}))
    assert there == [
        ({"param": "130", "step": "0"}, 10),
        ({"param": "131", "step": "0"}, 20),
        ({"param": "131", "step": "6"}, 20),
    ]
    both = list(found.look(look, {"param": ["u", "v"], "step": ["6"]}))
    assert both == [({"param": "131", "step": "6"}, 20), ({"param": "132", "step": "6"}, 0)]
    assert list(found.look(look, {"param": ["v"], "step": ["12"]})) == []


def test_winds_of_both_kinds_are_refused() -> None:
    with pytest.raises(DataSourceError, match="ask for each kind by itself"):
        sources("u", "v", there={"131", "138", "155"})


def test_where_there_is_nothing_winds_are_missing() -> None:
    assert sources("u", "v", there=set()).named == {"param": ["u", "v"], "step": ["0"]}


def test_other_fields_are_not_looked_for() -> None:
    assert sources("t", "vo", there={"138"}).named == {"param": ["t", "vo"], "step": ["0"]}


def test_pairs_of_mir() -> None:
    pairs = known_to_mir()
    assert pairs.pair_of(131) == pairs.pair_of(132) == (131, 132)
    assert pairs.pair_of(228247) == (228246, 228247)
    assert pairs.pair_of(262139) == (262140, 262139)
    assert pairs.pair_of(167) is None
