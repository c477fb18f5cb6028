"""Which fields go through MIR together."""

from __future__ import annotations

from polytope_server.datasource.fdb.metkit import tables
from polytope_server.datasource.fdb.postprocess.recipe import Recipe
from polytope_server.datasource.fdb.postprocess.tables import tables as known_to_mir
from polytope_server.datasource.fdb.postprocess.vectors import Part, divide

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
        Part({"param": ["u", "v"], "step": ["0"], "levelist": ["500"]}, is_pair=True),
        Part({"param": ["u", "v"], "step": ["6"], "levelist": ["500"]}, is_pair=True),
    ]


def test_names_and_numbers_make_a_pair() -> None:
    assert parts(param=["10u", "166.128"]) == [Part({"param": ["10u", "166.128"]}, is_pair=True)]


def test_two_names_of_one_component_are_one() -> None:
    assert parts(param=["u", "131", "v"])[-1] == Part({"param": ["u", "v"]}, is_pair=True)


def test_values_that_mean_the_same_are_taken_once() -> None:
    found = parts(param=["u", "v"], step=["0", "6", "12", "06"])
    assert [part.selection["step"] for part in found] == [["0"], ["6"], ["12"]]


def test_half_a_vector_stays_with_the_scalars() -> None:
    assert parts(param=["u", "t"]) == [Part({"param": ["u", "t"]})]


def test_without_names_numbers_are_known() -> None:
    found = list(divide({"param": ["131", "132", "2t"]}, TURNED, None))
    assert found == [Part({"param": ["2t"]}), Part({"param": ["131", "132"]}, is_pair=True)]


def test_parts_are_made_one_at_a_time() -> None:
    many = [str(number) for number in range(10_000)]
    wanted = {"param": ["u", "v"], "step": many, "number": many}
    assert next(divide(wanted, TURNED, tables())).is_pair


def test_pairs_of_mir() -> None:
    pairs = known_to_mir()
    assert pairs.pair_of(131) == pairs.pair_of(132) == (131, 132)
    assert pairs.pair_of(228247) == (228246, 228247)
    assert pairs.pair_of(262139) == (262140, 262139)
    assert pairs.pair_of(167) is None
