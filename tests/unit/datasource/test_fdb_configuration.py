"""Configurations of FDBs: what is accepted, and what follows from them, without an FDB."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pydantic
import pytest
import yaml

from polytope_server.datasource import DataSourceError
from polytope_server.datasource.fdb import FDBDataSource, FDBSettings
from polytope_server.datasource.fdb.configuration import load_fdb_config
from polytope_server.datasource.polytope import PolytopeSettings

REMOTE = {"type": "remote", "host": "fdb.example.org", "port": 7654, "engine": "remote", "store": "remote"}
GIT = {"remote": "https://git.example.org/fdb.git", "branch": "main", "path": "etc/schema"}
COMMIT = "0123456789" * 4


def local(path: str = "/data", root: dict[str, Any] | None = None, **keys: Any) -> dict[str, Any]:
    return {
        "type": "local",
        "engine": "toc",
        "schema": "/etc/fdb/schema",
        "spaces": [{"handler": "Default", "roots": [{"path": path, **(root or {})}]}],
        **keys,
    }


def with_schema(git: Any) -> dict[str, Any]:
    return {"type": "local", "schema": {"git": git}}


@pytest.mark.parametrize(
    "config",
    [
        {},
        local(),
        REMOTE,
        {"type": "remote", "host": "fdb.example.org", "port": "7654"},
        {"type": "select", "fdbs": [local(select="class=od"), {**REMOTE, "select": "class=rd"}]},
        {"type": "dist", "lanes": [REMOTE, {**REMOTE, "port": 7655}]},
        {"type": "select", "fdbs": [{"type": "select", "fdbs": [local()]}]},
        with_schema(GIT),
        with_schema({**GIT, "revision": COMMIT}),
        with_schema({"remote": "git@git.example.org:group/fdb.git", "commit": COMMIT, "path": "schema"}),
        with_schema({**GIT, "remote": "/srv/git/fdb.git", "branch": "feature/x-1"}),
        with_schema({**GIT, "remote": "ssh://git@git.example.org:2222/fdb.git", "path": ".etc/a b/schema"}),
    ],
)
def test_real_configurations_are_accepted(config: dict[str, Any], tmp_path: Path) -> None:
    assert FDBSettings(fdb_config=config).fdb_config == config
    path = tmp_path / "fdb.yaml"
    path.write_text(yaml.safe_dump(config))
    assert FDBSettings(fdb_config=path).fdb_config == path


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"type": "remote", "host": "x"}, "needs the host and the port of its catalogue server"),
        ({"type": "remote", "port": 7654}, "needs the host and the port"),
        ({"type": "remote", "host": "x", "port": 99999}, "needs the host and the port"),
        ({"type": "select", "fdbs": []}, "fdbs must be a list of configurations of FDBs"),
        ({"type": "select", "fdbs": {"a": 1}}, "fdbs must be a list"),
        ({"type": "select", "fdbs": [local(), "x"]}, "fdbs must be a list"),
        ({"type": "select", "fdbs": [with_schema("x")]}, "expected the path to a file, or the key 'git'"),
        ({"spaces": [{"roots": ["/data"]}]}, "spaces must be a list of mappings"),
        ({"spaces": {"roots": []}}, "spaces must be a list of mappings"),
        ({"schema": 5}, "schema: 5 is neither the path to a file, nor has it a key 'git'"),
        ({"schema": {"git": GIT, "path": "x"}}, "expected the path to a file, or the key 'git'"),
        (with_schema({**GIT, "tag": "v1"}), "schema.git: no key 'tag'; there are branch, commit"),
        (with_schema({"remote": "/x", "path": "schema"}), "needs remote, path, and branch or revision"),
        (with_schema({**GIT, "remote": None}), "needs remote, path, and branch or revision"),
        (with_schema({**GIT, "commit": COMMIT, "revision": COMMIT}), "revision and commit are the same"),
        *(
            (with_schema({**GIT, key: value}), f"schema.git.{key}: {value!r} is not accepted; expected")
            for key, value in (
                ("remote", "--upload-pack=touch /tmp/x"),
                ("remote", "-oProxyCommand=x"),
                ("remote", "ext::sh -c touch% /tmp/x"),
                ("remote", "fd::17"),
                ("remote", "relative/fdb.git"),
                ("remote", "https://example.org/a b"),
                ("remote", "-x@example.org:y"),
                ("remote", "x@-oProxyCommand=y:z"),
                ("remote", 5),
                ("branch", "--output=x"),
                ("branch", "-x"),
                ("branch", "a/../b"),
                ("branch", "a:b"),
                ("branch", "a b"),
                ("revision", "abc"),
                ("revision", "HEAD"),
                ("revision", COMMIT[:-1] + "G"),
                ("path", "../../etc/passwd"),
                ("path", "/etc/passwd"),
                ("path", "a/../../b"),
                ("path", "-x"),
                ("path", "a//b"),
                ("path", "a\nb"),
                ("path", ["a"]),
            )
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_key_and_value(config: dict[str, Any], problem: str) -> None:
    with pytest.raises(pydantic.ValidationError) as raised:
        FDBSettings(fdb_config=config)
    assert problem in str(raised.value)


def test_a_configuration_without_end_is_refused() -> None:
    config: dict[str, Any] = local()
    for _ in range(20):
        config = {"type": "select", "fdbs": [config]}
    with pytest.raises(pydantic.ValidationError, match="nested more than 10 deep"):
        FDBSettings(fdb_config=config)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("spaces:", "spaces must be a list of mappings"),
        ("spaces: [3]", "spaces must be a list of mappings"),
        ("writable: false\nspaces:\nfdbs: [{}]", "spaces must be a list of mappings"),
        ("fdbs:", "fdbs must be a list of configurations of FDBs"),
        ("fdbs: [a]", "fdbs must be a list of configurations of FDBs"),
        ("fdbs: [{}]\nlanes: [a]", "lanes must be a list of configurations of FDBs"),
        ("&a\nfdbs: [*a]", "fdbs is nested more than 10 deep"),
        ("&a\nspaces: [*a]\nlanes: [*a]", "lanes is nested more than 10 deep"),
        ("[]", "does not hold the configuration of a library"),
    ],
)
def test_a_file_of_another_form_is_warned_of_and_stops_no_frontend(
    text: str, problem: str, tmp_path: Path
) -> None:
    path = tmp_path / "fdb.yaml"
    path.write_text(text)
    settings = FDBSettings(fdb_config=path)
    (warning,) = settings.warnings()
    assert warning.startswith("fdb_config: ")
    assert problem in warning
    assert FDBDataSource.archives(settings) is True  # only a worker knows
    FDBDataSource.request_check(settings)({"class": "od"}, "retrieve")
    with pytest.raises(ValueError, match=problem):
        load_fdb_config(path)
    features = {"gribjump_config": {"type": "local"}, "fdb_config": path}
    assert list(PolytopeSettings.model_validate(features).warnings()) == []


@pytest.mark.parametrize(
    ("config", "warning"),
    [
        ({"type": "dist", "lanes": [local()]}, "knows no type 'dist'; it has local, remote, select"),
        ({"type": "select", "fdbs": [local(type="locl")]}, "knows no type 'locl'"),
        (
            local(writable=False),
            "uploads are refused: all roots of fdb_config are read-only (writable: false)",
        ),
        (local(root={"writable": False}), "uploads are refused: all roots"),
        ({**REMOTE, "schema": "/etc/fdb/schema", "writable": False}, "uploads are refused: all roots"),
        (REMOTE, "uploads are refused: fdb_config names no schema, by which uploads are checked"),
    ],
)
def test_what_will_not_work_is_warned_of(config: dict[str, Any], warning: str, tmp_path: Path) -> None:
    path = tmp_path / "fdb.yaml"
    path.write_text(yaml.safe_dump(config))
    for given in (config, path):
        (said,) = FDBSettings(fdb_config=given).warnings()
        assert warning in said
        if "uploads" in warning:
            assert list(FDBSettings(fdb_config=given, archive=False).warnings()) == []


@pytest.mark.parametrize(
    ("config", "archives"),
    [
        (local(), True),
        ({**REMOTE, "schema": "/etc/fdb/schema"}, True),
        (REMOTE, False),
        (local(writable=False), False),
        (local(root={"writable": False}), False),
        ({"type": "select", "fdbs": [local(writable=False), local()]}, True),
        ({"type": "select", "fdbs": [local(writable=False), local(root={"writable": False})]}, False),
        (Path("/absent/fdb.yaml"), True),  # only a worker knows
    ],
)
def test_uploads_are_refused_at_the_door_where_none_can_be_archived(config: Any, archives: bool) -> None:
    assert FDBDataSource.archives(FDBSettings(fdb_config=config)) is archives
    assert FDBDataSource.archives(FDBSettings(fdb_config=config, archive=False)) is False


def test_a_read_only_fdb_has_read_only_roots() -> None:
    config = {"type": "select", "fdbs": [local(writable=False), local("/other")]}
    made = load_fdb_config(config)["fdbs"]
    assert [part["spaces"][0]["roots"] for part in made] == [
        [{"path": "/data", "writable": False}],
        [{"path": "/other"}],
    ]
    assert config["fdbs"][0]["spaces"][0]["roots"] == [{"path": "/data"}]  # type: ignore[index]


def test_parts_inherit_the_schema_and_whether_they_are_writable(tmp_path: Path) -> None:
    (tmp_path / "schema").write_text("[ class [ type [ step ]]]")
    part = {key: value for key, value in local().items() if key != "schema"}
    config = {
        "type": "select",
        "schema": str(tmp_path / "schema"),
        "fdbs": [part, {**part, "select": "class=rd"}],
    }
    assert FDBDataSource.archives(FDBSettings(fdb_config=config))
    assert not FDBDataSource.archives(FDBSettings(fdb_config={**config, "writable": False}))
    check = FDBDataSource.request_check(FDBSettings(fdb_config=config))
    with pytest.raises(DataSourceError, match="the request must also name: step"):
        check({"class": "od", "type": "fc"}, "retrieve")


def test_the_door_finds_the_schema_beside_a_remote_fdb(tmp_path: Path) -> None:
    (tmp_path / "schema").write_text("[ class [ type [ step ]]]")
    check = FDBDataSource.request_check(
        FDBSettings(fdb_config={**REMOTE, "schema": str(tmp_path / "schema")})
    )
    with pytest.raises(DataSourceError, match="the request must also name: step"):
        check({"class": "od", "type": "fc"}, "retrieve")
    FDBDataSource.request_check(FDBSettings(fdb_config=REMOTE))({"class": "od", "type": "fc"}, "retrieve")


def test_the_examples_of_the_page_are_accepted() -> None:
    page = (Path(__file__).parents[3] / "docs/operators/fdb.md").read_text()
    blocks = [block.partition("```")[0] for block in page.split("```yaml\n")[1:]]
    found = [yaml.safe_load(block)["datasources"] for block in blocks if block.startswith("datasources:")]
    sections = [section for sources in found for section in sources.values()]
    for section in sections:
        keys = {key: value for key, value in section.items() if key not in ("type", "match")}
        assert list(FDBSettings.model_validate(keys).warnings()) == []
    assert len(sections) >= 5
