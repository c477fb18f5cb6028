"""A data source whose package is not installed here."""

from pathlib import Path

import pytest

from polytope_server.config import load
from polytope_server.datasource.fdb import FDBDataSource


def test_a_missing_package_is_a_warning_that_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FDBDataSource, "requires", ("json", "no_such_package"))
    (tmp_path / "c.yaml").write_text(
        "datasources: {f: {type: fdb, fdb_config: {type: local}}}\n"
        "collections: {c: {roles: {r: [x]}, datasources: [f]}}\n"
    )
    (warning,) = load([tmp_path / "c.yaml"], system_file=tmp_path / "none").warnings
    assert "collections.c: datasource 'f'" in warning
    assert "no_such_package" in warning
    assert "pip install 'polytope-server[fdb]'" in warning
