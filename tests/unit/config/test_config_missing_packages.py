"""Packages that are not installed here, and realms without users: what the operator reads."""

from importlib.metadata import PackageNotFoundError
from pathlib import Path
from unittest.mock import Mock

import pytest

from polytope_server.config import load
from polytope_server.datasource.fdb import FDBDataSource
from polytope_server.settings import backends, packages

DECLARED = [
    "pyyaml>=6.0",
    'pymongo>=4.13; extra == "mongodb"',
    'pyfdb<5.26,>=5.25; extra == "fdb"',
    'eccodes>=2.40; extra == "fdb"',
    'polytope-server[fdb,mongodb]; extra == "all"',
]


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server as installed by that metadata, in an environment with pip."""
    monkeypatch.setattr(packages, "requires", lambda name: DECLARED)
    monkeypatch.setattr(packages, "find_spec", lambda name: object())
    monkeypatch.setattr("sys.executable", "/opt/poly tope/bin/python")


def fail_with(monkeypatch: pytest.MonkeyPatch, error: ImportError) -> None:
    """Have the import of each back-end raise that."""

    def fail(name: str) -> None:
        raise error

    monkeypatch.setattr("importlib.import_module", fail)


def plug_in_with(monkeypatch: pytest.MonkeyPatch, error: ImportError) -> None:
    """A plug-in named `mongodb` whose import raises that."""
    point = Mock(load=Mock(side_effect=error))
    point.name = "mongodb"
    monkeypatch.setattr(backends, "plug_ins", lambda concern: (point,))


def refusal(concern: str, name: str) -> str:
    """Why a back-end cannot be loaded."""
    with pytest.raises(backends.UnknownBackendError) as caught:
        backends.load(concern, name)
    return str(caught.value)


def test_a_missing_package_is_a_warning_that_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FDBDataSource, "requires", ("json", "no_such_package"))
    (tmp_path / "c.yaml").write_text(
        "datasources: {f: {type: fdb, fdb_config: {type: local, schema: /etc/fdb/schema}}}\n"
        "collections: {c: {roles: {r: [x]}, datasources: [f]}}\n"
    )
    (warning,) = load([tmp_path / "c.yaml"], system_file=tmp_path / "none").warnings
    assert warning.startswith("collections.c: where workers run, datasource 'f' of type 'fdb' needs ")
    assert "package 'no_such_package' (extra 'fdb')" in warning
    assert warning.endswith("install 'pyfdb<5.26,>=5.25' 'eccodes>=2.40'`")


@pytest.mark.parametrize("name", ["mongodb", "mongoapikey"])
@pytest.mark.parametrize("module", ["pymongo", "bson", "bson.codec_options"])
def test_the_package_of_the_index_is_named_and_not_the_module(
    name: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_with(monkeypatch, ModuleNotFoundError(name=module))
    assert refusal("authenticator", name) == (
        f"authenticator {name!r} needs the Python package 'pymongo' (extra 'mongodb'): install it with "
        "`'/opt/poly tope/bin/python' -m pip install 'pymongo>=4.13'`"
    )


def test_what_comes_without_an_extra_is_named_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(monkeypatch, ModuleNotFoundError(name="jwt"))
    assert "package 'pyjwt': install it with" in refusal("authenticator", "jwt")
    assert refusal("authenticator", "jwt").endswith(" install pyjwt`")


def test_a_package_that_is_too_old_has_the_same_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    error = ImportError("cannot import name 'AsyncMongoClient' from 'pymongo'", name="pymongo")
    fail_with(monkeypatch, error)
    assert refusal("caching", "mongodb").endswith(f"install 'pymongo>=4.13'` ({error})")


def test_a_library_of_the_system_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(monkeypatch, ImportError("no pq wrapper available"))
    assert refusal("notices", "postgresql").endswith("(no pq wrapper available)")


def test_what_a_plug_in_lacks_is_not_looked_for_in_the_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    plug_in_with(monkeypatch, ModuleNotFoundError(name="bson"))
    assert refusal("caching", "mongodb") == (
        "caching 'mongodb' needs the Python package 'bson': install it where its own package is installed"
    )


def test_a_plug_in_for_another_version_is_not_taken_for_a_missing_package(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    error = ImportError("cannot import name 'Old'", name="polytope_server.caching")
    plug_in_with(monkeypatch, error)
    assert refusal("caching", "mongodb").endswith(f"does not work with this version of the server: {error}")


@pytest.mark.parametrize(
    ("uv", "command"),
    [
        ("/usr/bin/uv", "`uv pip install --python '/opt/poly tope/bin/python' 'pymongo>=4.13'`"),
        (None, "`python3 -m pip --python '/opt/poly tope/bin/python' install 'pymongo>=4.13'`"),
    ],
)
def test_an_environment_without_pip_has_another_command(
    uv: str | None, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "find_spec", lambda name: None)
    monkeypatch.setattr("shutil.which", lambda name: uv)
    assert packages.explain_missing("bson", "mongodb").endswith(command)


def test_a_server_that_was_not_installed_names_the_package_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(packages, "requires", fail)
    assert packages.explain_missing("bson", "mongodb").endswith(" install pymongo`")


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
