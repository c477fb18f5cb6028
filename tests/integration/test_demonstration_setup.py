"""The demonstration's folder, map, and what it prints."""

import os
import shlex
import signal
import socket
import stat
import subprocess
import sys
from datetime import UTC, date, datetime

import made_coverages
import matplotlib.image
import numpy as np
import pytest
import yaml

from polytope_demonstration import client, ensemble, fdb, fields, picture, run, server, setup
from polytope_server.datasource.fdb import FDBDataSource, FDBSettings, grib
from polytope_server.testing.datasource import job

NOW = datetime(2026, 1, 2, 23, 59, tzinfo=UTC)
DAYS = (date(2026, 1, 1), date(2026, 1, 2))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return setup.prepare(tmp_path_factory.mktemp("demo"), 4321, NOW)


def private(path):
    return stat.S_IMODE(path.stat().st_mode) == 0o600


def test_secrets_are_for_this_account_only(made):
    password = made.data / "demo-password"
    assert private(password)
    assert private(made.config)
    assert password.read_text().strip() == made.password
    assert len(made.password) >= 16


def test_a_second_run_changes_nothing_but_the_port(made):
    before = sorted(made.data.rglob("*"))
    again = setup.prepare(made.data, 1234, NOW)
    assert sorted(made.data.rglob("*")) == before
    assert again.password == made.password
    assert yaml.safe_load(again.config.read_text())["frontend"] == {"bind_to": "127.0.0.1", "port": 1234}


def test_the_fdb_serves_the_requests_of_the_tour(made):
    config = yaml.safe_load(made.config.read_text())["datasources"]["forecasts"]
    settings = {key: config[key] for key in ("fdb_config", "archive")}
    source = FDBDataSource("forecasts", FDBSettings(**settings))
    source.prepare()
    for request, count in ((client.ONE_FIELD, 1), (client.WEATHER_MAP, 4)):
        coerced = config["defaults"] | request | {"date": f"{DAYS[request['date']]:%Y%m%d}"}
        chunks = map(bytes, source.retrieve(job(coerced)).chunks)
        assert len(list(grib.split(chunks, 1 << 20))) == count


def test_a_new_day_is_added_and_a_broken_fill_is_repeated(tmp_path, monkeypatch):
    monkeypatch.setattr(fields, "STEPS", (0,))
    monkeypatch.setattr(ensemble, "MEMBERS", ())
    field = fields.Label("2t", DAYS[1])
    assert fdb.fill(tmp_path, DAYS[:1]) == [DAYS[0]]
    with monkeypatch.context() as broken:
        broken.setattr(fields, "messages", lambda _: iter([fields.message(field), b"no GRIB"]))
        with pytest.raises(RuntimeError):
            fdb.fill(tmp_path, DAYS)
    assert fdb.fill(tmp_path, DAYS) == [DAYS[1]]
    assert fdb.fill(tmp_path, DAYS) == []


def test_the_days_are_yesterday_and_today():
    assert fdb.days(NOW) == DAYS
    assert (fdb.days()[1] - fdb.days()[0]).days == 1


@pytest.fixture
def weather(tmp_path):
    labels = [fields.Label(name, DAYS[0], 24) for name in fields.SURFACE]
    path = tmp_path / "fields.grib"
    path.write_bytes(b"".join(fields.message(label) for label in labels))
    return picture.decode(path)


def test_fields_are_decoded_for_a_table(weather):
    assert [field.short_name for field in weather] == list(fields.SURFACE)
    assert str(weather[0]).startswith("2t    20260101 +24 h  surface   K ")
    assert len(str(weather[0])) == len(picture.HEADER)


def test_the_map_shows_something(weather, tmp_path):
    picture.draw(weather, tmp_path / "map.png")
    image = matplotlib.image.imread(tmp_path / "map.png")
    assert image.shape[0] > 600
    assert len(np.unique(image.reshape(-1, image.shape[2]), axis=0)) > 50


def test_a_single_field_is_drawn_without_the_others(weather, tmp_path):
    picture.draw(weather[1:2], tmp_path / "map.png")
    assert (tmp_path / "map.png").stat().st_size > 10_000


def test_regridding_keeps_the_values(weather):
    longitudes, latitudes, values = picture.regrid(weather[0])
    assert values.shape == (181, 361)
    assert np.array_equal(values[:, 0], values[:, -1])
    exact = fields.compute(DAYS[0], 24)
    nearest = np.argmin((weather[0].latitudes - 40) ** 2 + (weather[0].longitudes - 20) ** 2)
    here = values[latitudes.tolist().index(40), longitudes.tolist().index(20)]
    assert here == pytest.approx(exact["2t", None][nearest], abs=2)


def test_the_instructions_name_everything_that_is_needed(made):
    text = run.instructions(made)
    assert all(part in text for part in (made.url, made.password, str(made.data / "demo-password")))
    subprocess.run(["bash", "-n"], input=text.partition("\n#")[2], text=True, check=True)
    assert shlex.split(text.partition("# Python\n")[2])[1] == "-c"


def test_the_client_uses_its_own_folder_only(made, tmp_path, monkeypatch):
    home = tmp_path / "home"
    (home / ".polytope-client").mkdir(parents=True)
    (home / ".polytope-client" / "config.yaml").write_text("address: elsewhere.example\nuser_key: secret\n")
    (home / ".ecmwfapirc").write_text('{"key": "secret", "email": "me@example.org"}')
    monkeypatch.setenv("HOME", str(home))
    before = sorted(home.rglob("*"))
    folder = tmp_path / "client"
    folder.mkdir()
    user = client.connect(made, folder)
    assert user.config.get()["address"] == "http://127.0.0.1"
    assert user.config.get()["user_key"] is None
    assert user.auth.fetch_key() == (None, None, "demo")
    assert sorted(home.rglob("*")) == before


class TestServer:
    """Starting and ending a process, with stand-ins for the server."""

    def start(self, code):
        return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)

    def test_the_preferred_port_is_taken_if_it_is_free(self):
        port = server.free_port()
        assert server.free_port(port) == port
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", port))
            taken.listen()
            assert server.free_port(port) != port

    def test_a_server_that_does_not_start_says_why(self, tmp_path):
        missing = setup.Setup(tmp_path, server.free_port(), "x", tmp_path / "none.yaml")
        with (
            pytest.raises(server.DemonstrationError, match=r"ended with status [1-9]"),
            server.running(missing, tmp_path / "log"),
        ):
            pass

    def test_one_that_is_never_ready_is_ended(self, made, monkeypatch):
        monkeypatch.setattr(server, "_START_TIMEOUT", 0.0)
        monkeypatch.setattr(server, "_PAUSE", 0.0)
        monkeypatch.setattr(server, "_answers", lambda _: False)
        processes = []
        stop = server.stop
        monkeypatch.setattr(server, "stop", lambda process: (processes.append(process), stop(process)))
        with pytest.raises(server.DemonstrationError, match="not ready"), server.running(made):
            pass
        assert processes[0].poll() is not None

    def test_a_server_that_does_not_end_is_killed(self, monkeypatch):
        monkeypatch.setattr(server, "_STOP_TIMEOUT", 0.1)
        stubborn = self.start(
            "import signal; signal.signal(15, signal.SIG_IGN); print(flush=True); signal.pause()"
        )
        with stubborn:
            stubborn.stdout.readline()
            server.stop(stubborn)
            assert stubborn.returncode == -signal.SIGKILL

    def test_a_second_interrupt_kills_it_too(self, monkeypatch):
        with self.start("import signal; signal.pause()") as process:
            wait = process.wait
            raised = iter([KeyboardInterrupt()])

            def interrupted(*arguments):
                for error in raised:
                    raise error
                return wait(*arguments)

            monkeypatch.setattr(process, "wait", interrupted)
            with pytest.raises(KeyboardInterrupt):
                server.stop(process)
            assert process.returncode is not None

    def test_a_termination_signal_ends_it_like_an_interrupt(self):
        code = (
            "import os, signal; from polytope_demonstration import server\n"
            "server.end_on_signals()\n"
            "try: os.kill(os.getpid(), signal.SIGTERM)\n"
            "finally: print('tidied')"
        )
        ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert (ended.returncode, ended.stdout) == (143, "tidied\n")

    def test_proxies_are_not_asked_for_this_machine(self, monkeypatch):
        monkeypatch.setenv("no_proxy", "example.org")
        monkeypatch.delenv("NO_PROXY", raising=False)
        server.without_proxy_for_this_machine()
        assert os.environ["no_proxy"] == "example.org,127.0.0.1"
        assert os.environ.pop("NO_PROXY") == "127.0.0.1"


class TestCommands:
    """The commands, with a server that is not there."""

    @pytest.fixture(autouse=True)
    def _quiet(self, monkeypatch):
        monkeypatch.setattr(server, "end_on_signals", lambda: None)
        monkeypatch.setattr(server, "without_proxy_for_this_machine", lambda: None)

    def test_an_error_is_one_line_and_a_status(self, monkeypatch, capsys):
        def fail(*_):
            raise server.DemonstrationError("no luck")

        monkeypatch.setitem(run.COMMANDS, "demo", fail)
        assert run.main(["demo"]) == 1
        assert capsys.readouterr().err == "error: no luck\n"

    @pytest.mark.parametrize(("command", "status"), [("demo", 130), ("run", 0)])
    def test_an_interrupt_is_not_an_error(self, monkeypatch, command, status):
        def interrupt(*_):
            raise KeyboardInterrupt

        monkeypatch.setitem(run.COMMANDS, command, interrupt)
        assert run.main([command]) == status

    def test_the_tour_prints_fields_and_draws_maps_and_charts(self, made, monkeypatch, capsys):
        def retrieve(_, request, target):
            if "feature" in request:
                target.write_text(made_coverages.text_for(request))
                return target
            names, level = ("t",), 500
            if "/" in request["param"]:
                names, level = request["param"].split("/"), None
            labels = [fields.Label(name, DAYS[0], 0, level) for name in names]
            target.write_bytes(b"".join(map(fields.message, labels)))
            return target

        monkeypatch.setattr(client, "retrieve", retrieve)
        run.tour(made)
        printed = capsys.readouterr().out
        assert "500 hPa" in printed
        assert "msl" in printed
        assert "640 values" in printed
        assert (made.data / "results" / "map.png").exists()
        assert (made.data / "results" / "features.png").exists()

    def test_a_server_that_ends_by_itself_is_an_error(self, made, monkeypatch, capsys):
        class Running:
            def __init__(self, _):
                pass

            def __enter__(self):
                return self

            def __exit__(self, *_):
                pass

            def wait(self):
                return 3

        monkeypatch.setattr(server, "running", Running)
        monkeypatch.setattr(run, "prepare", lambda data, port, postprocess: made)
        with pytest.raises(server.DemonstrationError, match="status 3"):
            run.run(made.data, 1)
        assert made.url in capsys.readouterr().out
