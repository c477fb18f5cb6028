"""From the values of the earlier chart to a first answer, by the page. The tests run in this order."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import requests
import yaml
from kubectl import Namespace, until
from outside import Servers, servers
from polytope.api import Client

from testbed.services.service import free_port

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "operators" / "earlier-chart.md"
EARLIER = ROOT / "tests" / "unit" / "config" / "earlier_chart" / "values.yaml"
NAMESPACE = "earlier-test"
#: A user of the old file.
USER, PASSWORD = "test", "earlier-test-password"


class Operator:
    """An operator who follows the page, in a folder with the old file and the chart."""

    def __init__(self, folder: Path, outside: Servers) -> None:
        self.namespace = Namespace(NAMESPACE)
        self.folder = folder
        self.outside = outside
        self.report = ""
        values = EARLIER.read_text().replace("namespace: weather", f"namespace: {NAMESPACE}")
        (folder / "values.yaml").write_text(values)
        (folder / "polytope-deployment").symlink_to(ROOT / "polytope-deployment")

    def run(self, command: str, status: int = 0) -> str:
        """Run a command in a shell; returns what it prints."""
        done = subprocess.run(
            ["bash", "-c", command], cwd=self.folder, env=self._environment(), check=False,
            capture_output=True, text=True, timeout=900,
        )  # fmt: skip
        assert done.returncode == status, f"{command}: status {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def command(self, beginning: str) -> str:
        """The command of the page that begins so, in the namespace of the test."""
        (found,) = (line for line in lines_of(PAGE) if line.startswith(beginning))
        return found.replace("-n weather", f"-n {NAMESPACE}")

    @contextmanager
    def reach(self) -> Iterator[int]:
        """Forward a port of this machine, as the page says, and return it."""
        port = free_port()
        command = self.command("kubectl -n weather port-forward").replace("5000:", f"{port}:")
        forward = subprocess.Popen(
            ["bash", "-c", f"exec {command}"], cwd=self.folder, env=self._environment(),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            until(lambda: alive(port), 60, f"an answer at port {port}")
            yield port
        finally:
            forward.terminate()
            forward.wait(30)

    def _environment(self) -> dict[str, str]:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return {**os.environ, "PATH": path, "HOME": str(self.folder)}


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """An operator with servers of their own, before the first step of the page."""
    folder = tmp_path_factory.mktemp("earlier")
    with servers("mongodb", folder / "servers") as outside:
        operator = Operator(folder, outside)
        operator.namespace.create()
        yield operator
        operator.namespace.delete()


@pytest.fixture(autouse=True)
def _print_duration(request: pytest.FixtureRequest, release: Operator) -> Iterator[None]:
    started = time.monotonic()
    yield
    print(f"{request.node.name}: {time.monotonic() - started:.0f} s")


def test_the_old_file_is_read(release: Operator) -> None:
    release.report = release.run(release.command("polytope-server config migrate values.yaml --chart"), 1)
    assert "to decide." in release.report


def test_what_is_to_be_decided(release: Operator, registry: str, tag: str) -> None:
    """What the report and the comments say, on a machine of two processors."""
    file = release.folder / "new-values.yaml"
    values = yaml.safe_load(file.read_text())
    name_back_ends(values, release.outside)
    values["image"] |= {"registry": registry, "common": {"tag": tag}, "worker": {"tag": tag}}
    controller = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress"}}}
    values["networkPolicy"] = {"frontendFrom": [controller]}
    values["workers"][0] |= {"replicas": 1, "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}}}
    values["config"]["authentication"]["ecmwf"]["authorizers"]["ldap"]["ldap_user"] = "CN=polytope,DC=example"
    file.write_text(yaml.safe_dump(values))
    fill_in(release.folder / "new-values.secrets", release.outside.logins)


def name_back_ends(values: dict[str, Any], outside: Servers) -> None:
    """Servers of the operator's own instead of those that ended with the earlier release."""
    given = outside.backends
    values["backends"]["mongodb"] |= {**given["mongodb"], "authentication": True}
    values["backends"]["rabbitmq"] |= given["rabbitmq"]
    values["backends"]["s3"] |= given["s3"]
    login = {"username": "$MONGODB_USERNAME", "password": "$MONGODB_PASSWORD"}
    for keys in values["config"]["api-keys"].values():
        keys |= {"uri": given["mongodb"]["uri"], "database": given["mongodb"]["database"], **login}


def fill_in(file: Path, logins: dict[str, str]) -> None:
    """Log-ins of the operator's own servers, before and instead of those of the old file."""
    wanted = {name: logins[name] for name in sorted(logins) if not name.endswith(("_URI", "_HOST", "_PORT"))}
    kept = [line for line in file.read_text().splitlines() if line.partition("=")[0] not in wanted]
    file.write_text("\n".join([*kept, *(f"{name}={value}" for name, value in wanted.items())]) + "\n")


def test_the_secrets_are_made_as_the_report_says(release: Operator) -> None:
    (release.folder / ".docker").mkdir()
    (release.folder / ".docker" / "config.json").write_text('{"auths": {}}')
    (release.folder / "password").write_text("word")
    subject = "-subj /CN=polytope.example.org"
    release.run(f"openssl req -x509 -newkey rsa:2048 -nodes -keyout tls.key -out tls.crt {subject}")
    given = {"=CERTIFICATE": "=tls.crt", "=KEY": "=tls.key", "=FILE": "=password"}
    listed = release.report.partition("Secrets to make")[2].partition("\n\n")[0].splitlines()[1:]
    assert release.command("kubectl -n weather create secret") in map(str.strip, listed)
    for line in listed:
        release.run(re.sub("|".join(given), lambda found: given[found[0]], line))


def test_it_installs(release: Operator) -> None:
    release.run(release.command("helm install"))


def test_a_user_of_the_old_file_gets_a_first_answer(release: Operator) -> None:
    with release.reach() as port:
        client = Client(
            config_path=str(release.folder), key_path=str(release.folder / "keys"), address="http://127.0.0.1",
            port=port, username=USER, password=PASSWORD, insecure=True, quiet=True,
        )  # fmt: skip
        (release.folder / "keys").write_text("{}")
        client.retrieve("dummy", "1000", str(release.folder / "result"))
    assert (release.folder / "result").read_bytes() == b"x" * 1000


def alive(port: int) -> bool:
    """Whether the API answers."""
    try:
        return requests.get(f"http://127.0.0.1:{port}/api/v1/test", timeout=5).status_code == 200
    except requests.RequestException:
        return False


def lines_of(page: Path) -> list[str]:
    """The commands in the blocks of a page."""
    blocks = re.findall(r"^( *)```sh\n(.*?)^\1```$", page.read_text(), re.MULTILINE | re.DOTALL)
    return [line for _, block in blocks for line in dedent(block).replace("\\\n", "").splitlines()]
