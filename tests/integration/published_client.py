"""The published `polytope-client`, in several versions, each in an environment of its own."""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from testbed.server import StandaloneServer, environment

ENVIRONMENTS = Path(__file__).parents[2] / ".venvs"
NEWEST = "0.7.10"
#: Those with an environment of their own: what they need differs. The tests run with all of these.
VERSIONS = [NEWEST, "0.7.4", "0.6.3"]
#: The others that were published; they need what the newest one does.
OTHERS = ["0.7.9", "0.7.8", "0.7.7", "0.7.6", "0.7.3", "0.7.2", "0.7.1", "0.6.2"]
#: The newest one, which names itself as the version after it does.
NEXT = "next"
NAME_OF_NEXT = "polytope-client/0.7.11 python-requests/2.32.5"
#: A call that is answered with a status for which the client pauses two minutes does not end in time.
SECONDS = 60
Result = subprocess.CompletedProcess[str]


def python_of(version: str) -> Path:
    """The interpreter of an environment with that version of the client; it is made once."""
    # Older clients and their dependencies import pkg_resources, which setuptools 81 has not.
    environment = environment_with(f"client-{version}", f"polytope-client=={version}", "setuptools<81")
    return environment / "bin" / "python"


def environment_with(name: str, *packages: str) -> Path:
    """The folder of an environment with these packages; it is made once."""

    def install(folder: Path) -> None:
        _run_uv("venv", "--clear", folder)
        _run_uv("pip", "install", "--python", folder / "bin" / "python", *packages)

    return _make_once(name, install)


def package_of(version: str) -> Path:
    """A folder with nothing but that version of the client; it is made once."""

    def install(folder: Path) -> None:
        _run_uv("pip", "install", "--no-deps", "--target", folder, f"polytope-client=={version}")

    return _make_once(f"client-{version}-alone", install)


def _make_once(name: str, make: Callable[[Path], None]) -> Path:
    folder = ENVIRONMENTS / name
    ENVIRONMENTS.mkdir(exist_ok=True)
    with (ENVIRONMENTS / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            make(folder)
            (folder / "complete").touch()
    return folder


def _run_uv(*arguments: str | Path) -> None:
    # It links what it has installed elsewhere: pip would take ten times as long.
    subprocess.run([sys.executable, "-m", "uv", "--quiet", *arguments], check=True, timeout=250)


class Client:
    """One version of the client, configured for a server and a user by its environment only."""

    def __init__(self, version: str, server: StandaloneServer, home: Path, **variables: str) -> None:
        self.python = python_of(version if version in VERSIONS else NEWEST)
        self._head = RENAME if version == NEXT else ""
        self.home = home
        kept = {key: value for key, value in environment().items() if key in ("PATH", "LANG", "TMPDIR")}
        self.environment = {
            **kept,
            "HOME": str(home),
            "POLYTOPE_CONFIG_PATH": str(home / "configuration"),
            "POLYTOPE_KEY_PATH": str(home / "no key"),
            "POLYTOPE_ADDRESS": "127.0.0.1",
            "POLYTOPE_PORT": str(server.port),
            "POLYTOPE_INSECURE": "true",
            "POLYTOPE_USERNAME": "alice",
            "POLYTOPE_PASSWORD": "alice's password",
            **variables,
        }
        if version in OTHERS:
            self.environment["PYTHONPATH"] = str(package_of(version))

    def run(self, script: str, **names: Any) -> Any:
        """Run a script that has `client`, and `names`; returns the value that it gave to `answer`."""
        result = self._python("-c", self._head + HEAD + script + TAIL, json.dumps(names))
        assert result.returncode == 0, result.stdout + result.stderr
        return json.loads((self.home / "answer").read_text())

    def command(self, *arguments: str) -> Result:
        """Run the command `polytope`, which does not take these two from its environment."""
        (self.home / "configuration").mkdir(exist_ok=True)
        (self.home / "configuration" / "config.yaml").write_text("insecure: true\nquiet: false\n")
        return self._python("-c", "from polytope.cli.cli import cli; cli(prog_name='polytope')", *arguments)

    def _python(self, *arguments: str) -> Result:
        return subprocess.run(
            [self.python, *arguments],
            cwd=self.home,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )


RENAME = f"""
import requests.utils
requests.utils.default_user_agent = lambda *_: {NAME_OF_NEXT!r}
"""
HEAD = """
import json, sys
from polytope.api import Client
globals().update(json.loads(sys.argv[1]))
client = Client()
answer = None
"""
TAIL = """
json.dump(answer, open("answer", "w"))
"""

#: What users do most, in one run of a client, and what comes of it.
EVERYTHING = """
[data] = client.retrieve("echo", {"text": "with each version"})
made = client.retrieve("dummy", "1000", "out.grib")
[waiting] = client.retrieve("echo", "later", asynchronous=True)
request_id = waiting.request_url.rpartition("/")[2]
later = client.download(request_id).decode()
listed = request_id in client.list_requests()
client.revoke(request_id)
answer = ["with each version" in data.decode(), len(open(made[0], "rb").read()), later, listed,
          request_id in client.list_requests()]
"""
EVERYTHING_ANSWERED = [True, 1000, "later", True, False]
