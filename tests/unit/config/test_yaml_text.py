"""YAML that Python and Helm read alike."""

import pytest
import yaml

from polytope_server.config.migration.yaml_text import dump


@pytest.mark.parametrize("text", ["0079", "1e3", "0o17", "+1", "-0", ".5", "2020-01-01", "y", "N", "1:10"])
def test_a_text_that_is_a_number_or_a_truth_value_to_others_is_quoted(text: str) -> None:
    assert dump([text]) == f"- '{text}'\n"


@pytest.mark.parametrize(
    "value", ["od", "yes", "null", "a: b", "", 79, 0.5, True, None, ["0079"], {"1": "x"}]
)
def test_values_come_back_as_they_are(value: object) -> None:
    assert yaml.safe_load(dump({"key": value})) == {"key": value}


def test_other_texts_stand_as_they_are() -> None:
    assert dump({"class": ["od", "rd"]}) == "class:\n- od\n- rd\n"
