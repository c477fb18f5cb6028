"""The grid service, as a process on a real FDB with fields on a Lambert grid."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import eccodes
import numpy as np
import pytest
import requests
import yaml
from fdb_fields import FILED, SURFACE

from polytope_demonstration import fdb, server
from polytope_server.grid_service.look_up import LookUp, LookUpError

KEYS = {key: value for key, value in SURFACE.items() if key != "expver"}
LAMBERT = {"Nx": 5, "Ny": 4, "LoVInDegrees": 8.0, "LaDInDegrees": 46.5, "Latin1InDegrees": 46.5}
LAMBERT |= {"Latin2InDegrees": 46.5, "DxInMetres": 2500, "DyInMetres": 2500}
LAMBERT |= {"latitudeOfFirstGridPointInDegrees": 45.0, "longitudeOfFirstGridPointInDegrees": 7.0}


def message(expver: str, sample: str, **grid: Any) -> tuple[bytes, str]:
    """A field and the sum of its grid."""
    handle = eccodes.codes_grib_new_from_samples(sample)
    local = {"tablesVersion": 33, "setLocalDefinition": 1, "localDefinitionNumber": 1}
    label = {
        "class": "od",
        "stream": "oper",
        "type": "fc",
        "expver": expver,
        "dataDate": 20260101,
        "dataTime": 0,
    }
    try:
        for key, value in {**grid, **local, **label, "paramId": 167, "step": 0}.items():
            eccodes.codes_set(handle, key, value)
        eccodes.codes_set_values(
            handle, np.linspace(1.0, 2.0, eccodes.codes_get(handle, "numberOfDataPoints"))
        )
        return eccodes.codes_get_message(handle), eccodes.codes_get(handle, "md5GridSection")
    finally:
        eccodes.codes_release(handle)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The configuration of an FDB with a field on a Lambert grid and one on another; the sum of the first."""
    import pyfdb

    # In an address these characters mean something else.
    root = tmp_path_factory.mktemp("grids") / "per%20cent #1?"
    root.mkdir()
    (root / "schema").write_text(FILED)
    (root / "data").mkdir()
    config = root / "fdb.yaml"
    config.write_text(yaml.safe_dump(fdb.configuration(root)))
    lambert, md5 = message("0001", "GRIB2", gridType="lambert_lam", shapeOfTheEarth=6, **LAMBERT)
    other, _ = message("0002", "regular_ll_sfc_grib2")
    filled = pyfdb.FDB(config)
    for field in (lambert, other):
        filled.archive(field)
    filled.flush()
    return config, md5


@pytest.fixture(scope="module")
def url(archive: tuple[Path, str]) -> Iterator[str]:
    port = server.free_port()
    command = [sys.executable, "-m", "polytope_server", "grid-service", "--port", str(port)]
    with subprocess.Popen([*command, "--fdb-config", str(archive[0])]) as process:
        try:
            _wait(f"http://127.0.0.1:{port}/healthz")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(60)


def _wait(address: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if requests.get(address, timeout=5).json() == {"ok": True}:
                return
        except requests.ConnectionError:
            time.sleep(0.05)
    raise AssertionError("the service is not ready")


def ask(url: str, **body: Any) -> requests.Response:
    return requests.post(f"{url}/lookup-grid-config", timeout=30, **body)


def test_the_grid_of_the_first_field_is_described(url: str, archive: tuple[Path, str]) -> None:
    for body in ({"request": {**KEYS, "expver": "0001", "georef": "u0qj9s"}}, {**KEYS, "georef": "u0qj9s"}):
        answer = ask(url, json=body)
        assert answer.status_code == 200, answer.text
        found = answer.json()
        assert found["md5hash"] == archive[1]
        grid = found["gridspec"]
        assert (grid["type"], grid["earth_round"], grid["radius"]) == ("lambert_conformal", True, 6371229)
        assert (grid["nx"], grid["ny"], grid["Dx"], grid["LoVInDegrees"]) == (5, 4, 2500, 8)
        assert np.degrees(grid["latFirstInRadians"]) == pytest.approx(45)
        assert np.degrees(grid["lonFirstInRadians"]) == pytest.approx(7)


def test_where_the_fdb_does_not_file_by_georef_the_other_keys_choose_the_field(url: str) -> None:
    lambert, other = ({**KEYS, "expver": expver, "georef": "same"} for expver in ("0001", "0002"))
    assert ask(url, json=lambert).status_code == 200
    answer = ask(url, json=other)
    assert (answer.status_code, "regular_ll" in answer.json()["error"]) == (400, True)
    assert ask(url, json=lambert).status_code == 200


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (b"{", 400, "not JSON"),
        (b"[]", 400, "expected"),
        (json.dumps({"request": KEYS}).encode(), 400, "georef"),
        (json.dumps({**KEYS, "expver": "0002", "georef": "other"}).encode(), 400, "regular_ll"),
        (json.dumps({"georef": "alone"}).encode(), 400, "must have further keys"),
        (json.dumps({**KEYS, "expver": "9999", "georef": "none"}).encode(), 400, "no field"),
        (b"x" * (65 << 10), 413, "65536"),
    ],
)
def test_an_error_is_json(url: str, body: bytes, status: int, reason: str) -> None:
    answer = ask(url, data=body)
    assert answer.status_code == status
    assert reason in answer.json()["error"]


def test_other_addresses_are_not_found(url: str) -> None:
    answer = requests.get(f"{url}/elsewhere", timeout=30)
    assert answer.status_code == 404
    assert "error" in answer.json()


def test_what_was_found_is_remembered_and_bounded(
    archive: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    look_up = LookUp(archive[0])
    read: list[str] = []
    monkeypatch.setattr(
        look_up, "_read", lambda request: (read.append(request["georef"]), (({}, "sum"), True))[1]
    )
    monkeypatch.setattr("polytope_server.grid_service.look_up._MOST", 2)
    for georef in ("a", "b", "a", "c", "a", "b"):
        assert look_up.find({"georef": georef}) == ({}, "sum")
    assert read == ["a", "b", "c", "b"]
    with pytest.raises(LookUpError):
        look_up.find({"georef": 1})
