"""`python -m polytope_demonstration demo|demo-regional|run`."""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.util import find_spec
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
        return COMMANDS[given.command](given.data, given.port)
    except server.DemonstrationError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped")
        return 0 if given.command == "run" else 130


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m polytope_demonstration", description=__doc__)
    parser.add_argument(
        "command",
        choices=tuple(COMMANDS),
        help="demo: retrieve fields and features, and draw them; demo-regional: retrieve a part of the world "
        "on another grid, and draw it; run: leave the server running",
    )
    parser.add_argument("--data", type=Path, default=Path(".demo"), help="folder for everything (.demo)")
    parser.add_argument("--port", type=int, default=None, help="port of the server (a free one)")
    return parser.parse_args(arguments)


def demo(data: Path, port: int | None) -> int:
    """Start the server, retrieve fields and features, draw them, and stop the server."""
    _show(data, port, tour)
    _say("next: make demo-regional shows a part of the world on a finer grid, which ECMWF's MIR computes")
    return 0


def demo_regional(data: Path, port: int | None) -> int:
    """Start the server, retrieve and draw a part of the world on another grid, and stop the server."""
    if not _has_mir():
        raise server.DemonstrationError("mir-python is not installed: pip install '.[demo,mir]'")
    _show(data, port, regional_tour)
    return 0


def _show(data: Path, port: int | None, show: Callable[[Setup], None]) -> None:
    """Run the server while something is shown."""
    started = time.monotonic()
    setup = _prepare(data, port or server.free_port(), postprocess=show is regional_tour)
    log = setup.data / "server.log"
    with server.running(setup, log):
        _say(f"the server is ready at {setup.url} ({time.monotonic() - started:.1f} s); its log is {log}")
        show(setup)
    _say(f"the server is stopped; {time.monotonic() - started:.1f} s in all")


def run(data: Path, port: int | None) -> int:
    """Start the server, say how to use it, and stay until it is stopped."""
    setup = _prepare(data, port or server.free_port(_USUAL_PORT), postprocess=_has_mir())
    with server.running(setup) as process:
        print(instructions(setup), flush=True)
        status = process.wait()
    raise server.DemonstrationError(f"the server ended with status {status}")


def _has_mir() -> bool:
    return find_spec("mir") is not None


def _prepare(data: Path, port: int, *, postprocess: bool) -> Setup:
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Before anything is written: the configuration there is that of the running server.
    if is_locked(data):
        raise server.DemonstrationError(
            f"a server runs on {data} already (make run in another terminal?); "
            "stop it, or name another folder: make demo DATA=FOLDER"
        )
    _say(f"filling the FDB in {data.resolve() / 'fdb'}, where today's fields are missing")
    return prepare(data, port, postprocess=postprocess)


def tour(setup: Setup) -> None:
    """Retrieve fields and features, and draw both, saying what is done."""
    with _user(setup) as (user, results):
        _show_fields(user, results)
        _show_features(user, results)


def regional_tour(setup: Setup) -> None:
    """Retrieve fields as they are stored, and a part of the world on another grid, and draw both."""
    from polytope_demonstration import client, picture, regional

    with _user(setup) as (user, results):
        shown = []
        for request, name in ((client.WEATHER_MAP, "map.grib"), (regional.REGIONAL_MAP, "regional.grib")):
            _say(f"retrieving {request}")
            shown.append(picture.decode(client.retrieve(user, request, results / name)))
            print(picture.HEADER, *shown[-1], sep="\n")
        regional.draw(shown[0], shown[1], results / "regional.png")
        _say(f"a map of the region is in {results / 'regional.png'}")


@contextmanager
def _user(setup: Setup) -> Iterator[tuple[Any, Path]]:
    """A client of the server, and the folder for what it retrieves."""
    from polytope_demonstration import client

    results = setup.data / "results"
    results.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="polytope-demo-") as folder:
        yield client.connect(setup, Path(folder)), results


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


#: By name: from the data folder and a port, if one is given, to the exit status.
COMMANDS: dict[str, Callable[[Path, int | None], int]] = {
    "demo": demo,
    "demo-regional": demo_regional,
    "run": run,
}
