"""The whole path of a request with a grid: from the REST API to an FDB, through MIR, and back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from caller import Caller
from fdb_fields import SURFACE, make, message
from mir_command import run_mir, wind
from published_client import NEWEST, Client

from polytope_demonstration import fdb as demo
from polytope_server.testing.datasource import job
from testbed.server import StandaloneServer

pytestmark = pytest.mark.unmeasured

FIELD = {**SURFACE, "param": "2t", "step": "0"}
TURNED = {"grid": "2/2", "rotation": "-35/15"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandaloneServer]:
    """A server on an FDB with a temperature and a wind, which post-processes."""
    root = tmp_path_factory.mktemp("interpolating")
    make(root).archive(job({}, verb="archive"), [message(), *wind()])
    source = {"type": "fdb", "fdb_config": demo.configuration(root), "postprocess": True}
    config = {
        "datasources": {"fields": source},
        "collections": {"fields": {"roles": {"test": ["default"]}, "datasources": ["fields"]}},
    }
    with StandaloneServer(root / "server", config) as server:
        yield server


@pytest.fixture
def alice(server: StandaloneServer, caller_of: type[Caller]) -> Caller:
    return caller_of(server)


def test_a_result_is_what_mirs_command_line_makes(
    server: StandaloneServer, alice: Caller, tmp_path: Path
) -> None:
    options = {"grid": "1/1", "area": "60/-10/30/40"}
    made = server.result(alice.session, alice.submit("fields", {**FIELD, **options}))
    assert made == run_mir([message()], tmp_path, tmp_path, **options)


def test_the_published_client_gets_a_wind_on_a_turned_grid(server: StandaloneServer, tmp_path: Path) -> None:
    client = Client(NEWEST, server, tmp_path)
    request = {**FIELD, "param": "10u/10v", **TURNED}
    made = client.run("[answer] = client.retrieve('fields', request, 'out.grib')", request=request)
    expected = run_mir(wind(), tmp_path, tmp_path, flags=["uv2uv"], **TURNED)
    assert (tmp_path / made).read_bytes() == expected


def test_what_has_no_effect_is_in_the_message(alice: Caller) -> None:
    request_id = alice.submit("fields", {**FIELD, "grid": "2/2", "truncation": "63", "accuracy": "av"})
    alice.end_of(request_id)
    listed = next(one for one in alice.get("/requests").json()["message"] if one["id"] == request_id)
    assert "accuracy=av" in listed["user_message"]
    assert "truncation=63" in listed["user_message"]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"grid": "1"}, "key 'grid': '1' is not accepted; expected degrees"),
        ({"param": "10u", **TURNED}, "say 10u/10v"),
        ({"grid": "0.001/0.001"}, "at most 30000000 are made"),
    ],
)
def test_what_cannot_be_is_refused_at_the_door(
    alice: Caller, changes: dict[str, str], complaint: str
) -> None:
    answer = alice.post("/requests/fields", {"verb": "retrieve", "request": {**FIELD, **changes}})
    assert answer.status_code == 400
    assert complaint in answer.json()["message"]


def test_weights_are_kept_in_the_data_folder(server: StandaloneServer, alice: Caller) -> None:
    server.result(alice.session, alice.submit("fields", {**FIELD, "grid": "3/3"}))
    assert list((Path(server.data) / "weights").rglob("*.mat"))
