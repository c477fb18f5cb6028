"""Packages of other authors: the example of docs/plugins.md, and one with imports of an earlier version."""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "plugins.md"
#: What the page and the interfaces call stable.
PATHS = {
    "polytope_server.datasource": "Answer DataSource DataSourceError DataSourceSettings Job Question Result "
    "TemporaryError",
    "polytope_server.authentication": "Authenticator AuthenticatorSettings AuthenticationUnavailableError",
    "polytope_server.authorization": "Authorizer AuthorizerSettings NoSuchUserError",
    "polytope_server.accounts.users": "Identity InvalidUserError UnknownUserError UserExistsError UserEntry",
    "polytope_server.accounts.api_keys": "APIKeys KeyEntry NewKey OwnedKey RealmNotAllowedError",
    "polytope_server.caching": "Cache JSON",
    "polytope_server.queue": "Delivery Message Queue QueueUnavailableError",
    "polytope_server.notices": "Notice Notices Topic",
    "polytope_server.metric_store": "MetricStore RequestStatusChange",
    "polytope_server.request_store": "RequestStore StoreUnavailableError DuplicateRequestError",
    "polytope_server.staging": "Staging StagedObject StagingUnavailableError StagingFullError",
    "polytope_server.settings.backends": "BUILT_IN load names",
    "polytope_server.drivers.schema_version": "must_upgrade Maintenance",
    "polytope_server.testing.datasource": "DataSourceContract job",
    "polytope_server.testing.authentication": "AuthenticatorContract",
    "polytope_server.testing.identity": "IdentityContract",
    "polytope_server.testing.api_keys": "APIKeysContract",
    "polytope_server.testing.caching": "CacheContract RemoteCacheContract",
    "polytope_server.testing.queue": "QueueContract",
    "polytope_server.testing.notices": "NoticesContract",
    "polytope_server.testing.request_store": "RequestStoreContract",
    "polytope_server.testing.staging": "StagingContract",
}
#: By the name that a module had before.
MOVED = {
    "polytope_server.identity": "polytope_server.accounts.users",
    "polytope_server.api_keys": "polytope_server.accounts.api_keys",
    "polytope_server.backends": "polytope_server.settings.backends",
    "polytope_server.schema_version": "polytope_server.drivers.schema_version",
}
EVERYTHING = {
    "datasources": "Pages",
    "authenticators": "OneUser",
    "authorizers": "Readers",
    "cachings": "Forgetful",
    "identities": "Users",
    "api_keys": "Refusing",
}
CONFIG = {
    "authentication": {
        "readers": {
            "authenticators": {"one": {"type": "plugin", "word": "secret"}},
            "authorizers": {"one": {"type": "plugin"}},
        }
    },
    "caching": {"plugin": {}},
    "identity": {"plugin": {"realm": "local"}},
    "api-keys": {"generator": {"type": "plugin"}, "authenticator": {"type": "plugin"}},
    "datasources": {"pages": {"type": "plugin", "pages": ["zero", "one"]}},
    "collections": {"pages": {"roles": {"readers": ["reading"]}, "datasources": ["pages"]}},
}
Install = Callable[[str, Mapping[str, str]], Path]
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    site = tmp_path / "site"
    site.mkdir()
    return site


@pytest.fixture
def install(site: Path) -> Install:
    """Installs a package without modules, with these entry points."""

    def install(name: str, points: Mapping[str, str]) -> Path:
        info = site / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        text = "".join(f"[polytope_server.{group}]\n{point}\n" for group, point in points.items())
        (info / "entry_points.txt").write_text(text)
        return site

    return install


@pytest.fixture
def run(site: Path, tmp_path: Path) -> Run:
    """Runs Python where the package is installed, and only what is installed."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        variables = {**os.environ, "PYTHONPATH": str(site)}
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env=variables,
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run


def test_a_package_with_earlier_imports_is_configured(
    site: Path, install: Install, run: Run, tmp_path: Path
) -> None:
    shutil.copy(HERE / "plugin" / "everything.py", site)
    install("everything", {group: f"plugin = everything:{name}" for group, name in EVERYTHING.items()})
    (tmp_path / "config.yaml").write_text(json.dumps(CONFIG))
    done = run("-m", "polytope_server", "config", "check", "--config", "config.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "ok"


def test_a_package_with_earlier_imports_lets_its_user_in(
    site: Path, install: Install, run: Run, tmp_path: Path
) -> None:
    shutil.copy(HERE / "plugin" / "everything.py", site)
    install("everything", {group: f"plugin = everything:{name}" for group, name in EVERYTHING.items()})
    (tmp_path / "log_in.py").write_text(
        f"""
import asyncio, base64, pathlib
from polytope_server.accounts import create_api_keys, create_users
from polytope_server.authentication.configuration import create_authentication
from polytope_server.settings import Settings, create_backend

async def main():
    settings, data = Settings.model_validate({CONFIG!r}), pathlib.Path({str(tmp_path)!r})
    cache = create_backend("caching", settings.caching, data)
    authentication = create_authentication(settings, data, cache)
    await authentication.open()
    found = await authentication.authenticate("Basic " + base64.b64encode(b"reader:secret").decode())
    print(found.user.username, *found.user.roles, found.user.attributes["from"])
    print(type(create_users(settings, data)).__name__, type(create_api_keys(settings, data)).__name__)
    await authentication.close()

asyncio.run(main())
"""
    )
    done = run("log_in.py")
    assert done.stdout.splitlines() == ["reader default reading a plug-in", "Users Refusing"], done.stderr


@pytest.mark.parametrize("path", PATHS)
def test_a_path_of_plug_ins_is_there(path: str) -> None:
    module = importlib.import_module(path)
    assert [name for name in PATHS[path].split() if not hasattr(module, name)] == []


def test_the_paths_of_plug_ins_need_only_what_is_installed(run: Run) -> None:
    """Not what lies beside the package, such as the servers that tests start."""
    beside = "{name.split('.')[0] for name in sys.modules} & {'testbed', 'tests'}"
    done = run("-c", f"import sys, {', '.join(PATHS)}; print({beside})")
    assert done.stdout == "set()\n", done.stderr


@pytest.mark.parametrize(("earlier", "now"), MOVED.items())
def test_an_earlier_path_warns_and_is_the_same(earlier: str, now: str) -> None:
    sys.modules.pop(earlier, None)
    with pytest.warns(DeprecationWarning, match=re.escape(now)):
        moved = importlib.import_module(earlier)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        module = importlib.import_module(now)
    public = [name for name in vars(module) if not name.startswith("_")]
    assert public
    assert [name for name in public if getattr(moved, name) is not getattr(module, name)] == []
