"""The chart on servers outside of the cluster, as for production. The tests run in this order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import yaml
from kubectl import until
from outside import servers
from releases import Release
from test_release import left, retrieve

#: Not of the chart: they must still be there when the release is not.
SECRET, SITE = "logins", "site"
NODE_PORT = 30083


class Outside(Release):
    """A release on servers outside of the cluster."""

    #: Where this machine reaches their S3, if they have one.
    s3 = ""


@pytest.fixture(scope="module", params=["mongodb", "postgresql"])
def release(
    request: pytest.FixtureRequest, registry: str, tag: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Outside]:
    """A release that is not installed yet, and servers that run. Its logins are in a Secret of its own."""
    folder = tmp_path_factory.mktemp("outside")
    with servers(request.param, folder) as outside:
        own = {
            "secrets": {"existing": [SECRET], "generated": []},
            "existingSecretConfig": {"name": SITE},
            "frontend": {"service": {"type": "NodePort", "nodePort": NODE_PORT}},
            "objectStore": {"persistence": {"size": "1Gi"}},
        }
        values = folder / "values.yaml"
        values.write_text(yaml.safe_dump(outside.values | own))
        release = Outside("outside", values, registry, tag, folder)
        release.s3 = outside.s3
        release.namespace.create()
        given = [f"--from-literal={name}={value}" for name, value in outside.logins.items()]
        carol = f"--from-literal=CAROL_PASSWORD={release.passwords['alice']}"
        release.namespace.kubectl("create", "secret", "generic", SECRET, carol, *given)
        store = "mongodb" if request.param == "mongodb" else "sql"
        site = {"identity": {store: {"extra-users": [{"uid": "carol", "password": "$CAROL_PASSWORD"}]}}}
        file = f"--from-literal=secret.yaml={yaml.safe_dump(site)}"
        release.namespace.kubectl("create", "secret", "generic", SITE, file)
        yield release
        release.namespace.delete()


def test_it_installs(release: Outside) -> None:
    print(f"helm install to ready: {release.install():.0f} s")
    release.reach(NODE_PORT)


def test_helm_test_submits_and_downloads(release: Outside) -> None:
    assert "Phase:          Succeeded" in release.namespace.helm("test", release.name, "--timeout", "5m")


def test_the_published_client_retrieves_from_outside(release: Outside, tmp_path: Path) -> None:
    retrieve(release, tmp_path)
    assert "/downloads/" in link(release)


@pytest.mark.parametrize("release", ["mongodb"], indirect=True)
def test_results_come_from_s3_if_clients_reach_it(release: Outside, tmp_path: Path) -> None:
    release.upgrade(f"backends.s3.publicUrl={release.s3}")
    retrieve(release, tmp_path)
    assert link(release).startswith(release.s3)


def test_what_runs_in_a_pod_reads_the_files_of_the_secret_too(release: Outside) -> None:
    frontend = f"deploy/{release.name}-polytope-frontend"
    assert "carol" in release.namespace.kubectl("exec", frontend, "--", "polytope-server", "users", "list")
    user = requests.get(f"{release.url}/api/v1/user", auth=("carol", release.passwords["alice"]), timeout=60)
    assert user.status_code == 200


def test_uninstalling_leaves_only_what_was_there(release: Outside) -> None:
    release.namespace.helm("uninstall", release.name, "--wait", "--timeout", "5m")
    until(
        lambda: left(release) == [f"secret/{SECRET}", f"secret/{SITE}"],
        what="a namespace with its Secrets only",
    )


def link(release: Outside) -> str:
    """Where a result is, as the server says."""
    session = requests.Session()
    session.auth, api = release.user, f"{release.url}/api/v1/requests"
    body = {"verb": "retrieve", "request": "what is asked for"}
    submitted = session.post(f"{api}/echo", json=body, timeout=60, allow_redirects=False)
    polled = f"{api}/{submitted.headers['Location'].rpartition('/')[2]}"
    until(lambda: session.get(polled, timeout=60, allow_redirects=False).status_code == 303)
    return session.get(polled, timeout=60, allow_redirects=False).headers["Location"]
