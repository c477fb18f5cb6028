"""A data source whose package is not installed here."""

from pathlib import Path

import pytest

from polytope_server.config import load
from polytope_server.datasource.fdb import FDBDataSource
from polytope_server.settings import backends


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


def test_of_a_back_end_the_extra_that_brings_its_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        raise ModuleNotFoundError(name="pymongo")

    monkeypatch.setattr("importlib.import_module", fail)
    for name in ("mongodb", "mongoapikey"):
        with pytest.raises(backends.UnknownBackendError, match=r"'polytope-server\[mongodb\]'"):
            backends.load("authenticator", name)


def test_a_realm_to_which_nobody_can_belong_is_warned_of(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(
        "authentication: {site: {authenticators: {u: {type: anonymous}}}}\n"
        "datasources: {e: {type: echo}}\n"
        "collections: {c: {roles: {sit: [default], site: [x]}, datasources: [e]}}\n"
    )
    (warning,) = load([tmp_path / "c.yaml"], system_file=tmp_path / "none").warnings
    assert "collections.c.roles: no user is of the realm 'sit'" in warning
    assert "'site'" in warning


def test_users_of_auth_o_tron_may_be_of_any_realm(tmp_path: Path) -> None:
    secret = "s" * 32
    (tmp_path / "c.yaml").write_text(
        f"authentication: {{auth-o-tron: {{secret: {secret}}}}}\n"
        "datasources: {e: {type: echo}}\n"
        "collections: {c: {roles: {anywhere: [default]}, datasources: [e]}}\n"
    )
    assert load([tmp_path / "c.yaml"], system_file=tmp_path / "none").warnings == []
