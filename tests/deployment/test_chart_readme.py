"""The table of values in the chart's README is that of the values."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

CHARTS = Path(__file__).parents[2] / "polytope-deployment" / "charts"
VALUES = (CHARTS / "polytope" / "values.yaml").read_text()
README = (CHARTS / "polytope" / "README.md").read_text()
#: Described once for all processes.
SHARED = {
    *(
        "podDisruptionBudget",
        "resources",
        "podAnnotations",
        "podLabels",
        "nodeSelector",
        "tolerations",
        "affinity",
    ),
    *(
        "priorityClassName",
        "topologySpreadConstraints",
        "extraEnv",
        "extraVolumes",
        "extraVolumeMounts",
        "egress",
    ),
}


@pytest.fixture(scope="module")
def values_table() -> ModuleType:
    spec = importlib.util.spec_from_file_location("values_table", CHARTS / "values_table.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def paths(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from paths(inner, (*path, key))
    else:
        yield path


def test_the_table_is_up_to_date(values_table: ModuleType) -> None:
    """If not: python polytope-deployment/charts/values_table.py"""
    assert values_table.updated(README, VALUES) == README


def test_every_value_is_described(values_table: ModuleType) -> None:
    described = {path for path, _, _ in values_table.rows(VALUES)}
    for path in paths(yaml.safe_load(VALUES)):
        above = {".".join(path[: length + 1]) for length in range(len(path))}
        assert above & described or SHARED & set(path[1:2]), ".".join(path)


def test_what_all_processes_have_is_described() -> None:
    section = README.partition("## Keys of every process")[2].partition("## Values")[0]
    assert not [key for key in SHARED if f"`{key}" not in section]
