"""The demonstration from end to end: what `make demo` and `make run` start."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from datetime import date

import psutil
import pytest
import requests
from mir_command import run_mir

from polytope_demonstration import fields, regional, server, setup

COMMAND = [sys.executable, "-m", "polytope_demonstration"]


def processes_of(data):
    """The processes that were started on a data folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if str(data) in process.cmdline():
                found.append(process)
        except psutil.Error:
            continue
    return found


def none_left(data):
    _, alive = psutil.wait_procs(processes_of(data), timeout=15)
    return not alive


def start(command, data, *arguments):
    return subprocess.Popen(
        [*COMMAND, command, "--data", str(data), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_the_demo_retrieves_fields_and_leaves_nothing_behind(data):
    with start("demo", data) as demo:
        printed, errors = demo.communicate(timeout=120)
    assert demo.returncode == 0, errors + printed
    lines = printed.splitlines()
    table = [line.split()[0] for line in lines if " hPa " in line or " surface " in line]
    assert table == ["t", "2t", "msl", "10u", "10v"]
    values = [int(line.split()[0]) for line in lines if " values of " in line]
    # Members, steps and parameters; levels of three places; fields of an area.
    assert values[:2] == [8 * 16 * 5, 3 * 10]
    assert values[2] > 1000
    assert "make demo-regional" in lines[-1]
    assert "postprocess" not in (data / "demo.yaml").read_text()
    for picture in ("map.png", "features.png"):
        assert (data / "results" / picture).read_bytes().startswith(b"\x89PNG")
    assert none_left(data)


def test_the_regional_demo_draws_what_mir_makes_of_the_stored_fields(data, tmp_path):
    with start("demo-regional", data) as demo:
        printed, errors = demo.communicate(timeout=120)
    assert demo.returncode == 0, errors + printed
    results = data / "results"
    stored = (results / "map.grib").read_bytes()
    options = {"grid": "0.5/0.5", "area": regional.REGIONAL_MAP["area"]}
    assert (results / "regional.grib").read_bytes() == run_mir([stored], tmp_path, tmp_path, **options)
    assert (results / "regional.png").read_bytes().startswith(b"\x89PNG")
    assert none_left(data)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_that_is_stopped_stops_its_server(data, number):
    with start("demo", data) as demo:
        for line in demo.stdout:
            if "ready" in line:
                break
        demo.send_signal(signal.SIGSTOP)  # or it may be at its end before all processes are looked through
        assert processes_of(data)
        demo.send_signal(number)
        demo.send_signal(signal.SIGCONT)
        demo.communicate(timeout=60)
    assert demo.returncode == 128 + number
    assert none_left(data)


def test_the_demo_fails_cleanly_without_its_port(data):
    other = server.free_port()
    with subprocess.Popen(
        [sys.executable, "-m", "http.server", str(other), "--bind", "127.0.0.1"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as occupant:
        try:
            _until_it_listens(other)
            with start("demo", data, "--port", str(other)) as demo:
                _, errors = demo.communicate(timeout=120)
        finally:
            occupant.kill()
    assert demo.returncode == 1
    assert errors.startswith("error: ")
    assert none_left(data)


def _until_it_listens(port):
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            requests.get(f"http://127.0.0.1:{port}/", timeout=5)
        except requests.ConnectionError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("nothing listens")


def test_the_printed_commands_work(data, tmp_path):
    with start("run", data) as run:
        try:
            text = ""
            for line in run.stdout:
                text += line
                if '"2t.grib")\'' in line:  # the end of the last command
                    break
            programs = text.split("\n# ")[1:]
            assert len(programs) == 3
            for program in programs:
                _run_as_printed(program, tmp_path)
        finally:
            run.send_signal(signal.SIGINT)
            run.communicate(timeout=60)
    assert run.returncode == 0
    assert none_left(data)


def _run_as_printed(program, folder):
    environment = {**os.environ, "HOME": str(folder), "no_proxy": "127.0.0.1"}
    ended = subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", "# " + program],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    result = folder / "2t.grib"
    assert ended.returncode == 0, program + ended.stdout + ended.stderr
    assert result.read_bytes()[:4] == b"GRIB", program
    result.unlink()


class TestArchive:
    """A user's own experiment in the demonstration's FDB."""

    @pytest.fixture
    def session(self, running):
        with requests.Session() as session:
            session.trust_env = False
            session.auth = setup.USER, running.password
            yield session

    def submit(self, session, url, request, verb):
        return session.post(f"{url}/requests/demo", json={"verb": verb, "request": request})

    def wait(self, session, url, answer):
        address = f"{url}/requests/{answer.headers['Location'].rpartition('/')[2]}"
        deadline = time.monotonic() + 60
        while (answer := session.get(address)).status_code == 202 and time.monotonic() < deadline:
            pass  # the server holds each call
        return answer

    def test_what_a_user_archives_comes_back(self, running, session):
        url = f"{running.url}/api/v1"
        request = {"expver": setup.OWN_EXPVER, "date": "20260101", "step": 0, "param": "2t", "levtype": "sfc"}
        message = fields.message(fields.Label("2t", date(2026, 1, 1), expver=setup.OWN_EXPVER))
        answer = self.submit(session, url, request, "archive")
        assert answer.status_code == 202, answer.text
        upload = f"{url}/uploads/{answer.headers['Location'].rpartition('/')[2]}"
        checksum = {"X-Checksum": hashlib.md5(message).hexdigest()}
        assert session.post(upload, data=message, headers=checksum).status_code == 202
        assert self.wait(session, url, answer).json()["status"] == "processed"
        found = self.wait(session, url, self.submit(session, url, request, "retrieve"))
        assert found.content == message

    def test_the_forecasts_cannot_be_overwritten(self, running, session):
        url = f"{running.url}/api/v1"
        request = {"expver": "0001", "date": "20260101", "step": 0, "param": "2t", "levtype": "sfc"}
        answer = self.submit(session, url, request, "archive")
        if answer.status_code == 202:
            answer = self.wait(session, url, answer)
        assert answer.status_code == 400
        assert "expver" in answer.json()["message"]
