"""The published `polytope-client`, in several versions, each in an environment of its own."""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from testbed.server import StandaloneServer, environment

ENVIRONMENTS = Path(__file__).parents[2] / ".venvs"
#: A call that is answered with a status for which the client pauses two minutes does not end in time.
SECONDS = 60
Result = subprocess.CompletedProcess[str]


def python_of(version: str) -> Path:
    """The interpreter of an environment with that version of the client; it is made once."""
    # Older clients and their dependencies import pkg_resources, which setuptools 81 has not.
    return (
        environment_with(f"client-{version}", f"polytope-client=={version}", "setuptools<81")
        / "bin"
        / "python"
    )


def environment_with(name: str, *packages: str) -> Path:
    """The folder of an environment with these packages; it is made once."""
    folder = ENVIRONMENTS / name
    ENVIRONMENTS.mkdir(exist_ok=True)
    with (ENVIRONMENTS / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        complete = folder / "complete"
        if not complete.exists():
            # It links what it has installed elsewhere: pip would take ten times as long.
            uv = [sys.executable, "-m", "uv", "--quiet"]
            subprocess.run([*uv, "venv", "--clear", folder], check=True)
            install = [*uv, "pip", "install", "--python", folder / "bin" / "python", *packages]
            subprocess.run(install, check=True, timeout=250)
            complete.touch()
    return folder


class Client:
    """One version of the client, configured for a server and a user by its environment only."""

    def __init__(self, version: str, server: StandaloneServer, home: Path, **variables: str) -> None:
        self.python = python_of(version)
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

    def run(self, script: str, **names: Any) -> Any:
        """Run a script that has `client`, and `names`; returns the value that it gave to `answer`."""
        result = self._python("-c", HEAD + script + TAIL, json.dumps(names))
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
