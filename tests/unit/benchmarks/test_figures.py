import pytest

from benchmarks.__main__ import table
from benchmarks.figure import Figure, Target


class TestFigure:
    def test_rounds_are_compared_in_pairs(self) -> None:
        # The second round was slow for both.
        figure = Figure("f", "/s", [50.0, 5.0, 60.0], [100.0, 10.0, 100.0], "floor")
        assert figure.ratio == 0.5

    def test_medians_are_compared_where_there_are_no_pairs(self) -> None:
        assert Figure("f", "/s", [1.0, 2.0, 30.0], [4.0], "floor").ratio == 0.5

    def test_without_a_floor_there_is_no_ratio(self) -> None:
        assert Figure("f", "MiB", [1.0], [], "none").ratio is None

    @pytest.mark.parametrize(("values", "met"), [([9.0], True), ([11.0], False)])
    def test_a_target_of_the_value(self, values: list[float], met: bool) -> None:
        assert Figure("f", "ms", values, [1.0], "floor", Target(10, at_least=False)).met is met

    @pytest.mark.parametrize(("values", "met"), [([7.0], True), ([5.0], False)])
    def test_a_target_of_the_ratio(self, values: list[float], met: bool) -> None:
        assert Figure("f", "/s", values, [10.0], "floor", Target(0.6, of_ratio=True)).met is met

    def test_its_document_holds_every_round(self) -> None:
        document = Figure("f", "/s", [1.0, 3.0], [2.0, 2.0], "floor", Target(5)).to_document()
        assert document["values"] == [1.0, 3.0]
        assert (document["value"], document["ratio"], document["met"]) == (2.0, 1.0, False)
        assert document["target"] == ">= 5"


def test_the_table_names_what_was_missed() -> None:
    lines = table([Figure("GET /test", "/s", [1234.0], [2468.0], "floor", Target(0.6, of_ratio=True))]).split(
        "\n"
    )
    assert lines[2].split() == [
        "GET",
        "/test",
        "1,234",
        "/s",
        "2,468",
        "50%",
        ">=",
        "60%",
        "of",
        "floor",
        "MISSED",
    ]
