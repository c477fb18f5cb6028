"""`python -m polytope_demonstration demo|run`."""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from polytope_demonstration import server
from polytope_demonstration.setup import USER, Setup, prepare
from polytope_server.runtime.data_folder import is_locked

_USUAL_PORT = 5000


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    given = _parse(arguments)
    server.end_on_signals()
    server.without_proxy_for_this_machine()
    try:
        return (demo if given.command == "demo" else run)(given.data, given.port)
    except server.DemonstrationError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped")
        return 130 if given.command == "demo" else 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m polytope_demonstration", description=__doc__)
    parser.add_argument(
        "command",
        choices=("demo", "run"),
        help="demo: retrieve fields and features, and draw them; run: leave the server running",
    )
    parser.add_argument("--data", type=Path, default=Path(".demo"), help="folder for everything (.demo)")
    parser.add_argument("--port", type=int, default=None, help="port of the server (a free one)")
    return parser.parse_args(arguments)


def demo(data: Path, port: int | None) -> int:
    """Start the server, retrieve fields and features, draw them, and stop the server."""
    started = time.monotonic()
    setup = _prepare(data, port or server.free_port())
    log = setup.data / "server.log"
    with server.running(setup, log):
        _say(f"the server is ready at {setup.url} ({time.monotonic() - started:.1f} s); its log is {log}")
        tour(setup)
    _say(f"the server is stopped; {time.monotonic() - started:.1f} s in all")
    return 0


def run(data: Path, port: int | None) -> int:
    """Start the server, say how to use it, and stay until it is stopped."""
    setup = _prepare(data, port or server.free_port(_USUAL_PORT))
    with server.running(setup) as process:
        print(instructions(setup), flush=True)
        status = process.wait()
    raise server.DemonstrationError(f"the server ended with status {status}")


def _prepare(data: Path, port: int) -> Setup:
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Before anything is written: the configuration there is that of the running server.
    if is_locked(data):
        raise server.DemonstrationError(
            f"a server runs on {data} already (make run in another terminal?); "
            "stop it, or name another folder: make demo DATA=FOLDER"
        )
    _say(f"filling the FDB in {data.resolve() / 'fdb'}, where today's fields are missing")
    return prepare(data, port)


def tour(setup: Setup) -> None:
    """Retrieve fields and features, and draw both, saying what is done."""
    from polytope_demonstration import client

    results = setup.data / "results"
    results.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="polytope-demo-") as folder:
        user = client.connect(setup, Path(folder))
        _show_fields(user, results)
        _show_features(user, results)


def _show_fields(user: Any, results: Path) -> None:
    from polytope_demonstration import client, picture

    for request, name in ((client.ONE_FIELD, "t500.grib"), (client.WEATHER_MAP, "map.grib")):
        _say(f"retrieving {request}")
        fields = picture.decode(client.retrieve(user, request, results / name))
        print(picture.HEADER, *fields, sep="\n")
    picture.draw(fields, results / "map.png")
    _say(f"a map is in {results / 'map.png'}")


def _show_features(user: Any, results: Path) -> None:
    from polytope_demonstration import charts, client, coverages

    def show(request: dict[str, Any], name: str) -> coverages.Collection:
        _say(f"retrieving {request}")
        found = coverages.load(client.retrieve(user, request, results / name))
        print(found)
        return found

    charts.draw(
        client.PLACE,
        show(client.METEOGRAM, "meteogram.covjson"),
        show(client.PROFILES, "profiles.covjson"),
        show(client.AREA, "area.covjson"),
        results / "features.png",
    )
    _say(f"a meteogram, profiles and the map of an area are in {results / 'features.png'}")


def instructions(setup: Setup) -> str:
    """How to use the running server: address, user, and three commands to try."""
    request = f"param: 2t, levtype: sfc, date: {datetime.now(UTC):%Y%m%d}, step: 24"
    url, login = f"{setup.url}/api/v1/requests/demo", shlex.quote(f"{USER}:{setup.password}")
    yaml_text = shlex.quote("{" + request + "}")
    return f"""
The server is ready at {setup.url}; Ctrl-C stops it.
user {USER}, password {setup.password} (kept in {setup.data / "demo-password"})

Three ways to retrieve a field:

# polytope-client on the command line
{_program("polytope")} retrieve --insecure -a http://127.0.0.1 -p {setup.port} -u {USER} \\
    --password={shlex.quote(setup.password)} -e demo {yaml_text} 2t.grib

# curl: the answer to the first command names the request, the second waits for its data
location=$(curl -sS -u {login} -H 'Content-Type: application/json' -o /dev/null -D - \\
    -d '{{"verb": "retrieve", "request": "{{{request}}}"}}' {url} \\
    | tr -d '\\r' | sed -n 's/^[Ll]ocation: .*\\///p')
curl -sS -L -u {login} -o 2t.grib {setup.url}/api/v1/requests/$location

# Python
{shlex.quote(sys.executable)} -c '
from polytope.api import Client
client = Client(address="http://127.0.0.1", port={setup.port}, insecure=True,
                username="{USER}", password="{setup.password}")
client.retrieve("demo", {{"param": "2t", "levtype": "sfc", "date": -1, "step": 24}}, "2t.grib")'
"""


def _program(name: str) -> str:
    """A program that was installed with this package, if it was, else one that is hopefully found."""
    here = Path(sys.executable).with_name(name)
    return shlex.quote(str(here)) if here.exists() else name


def _say(text: str) -> None:
    print(f"-- {text}", flush=True)
