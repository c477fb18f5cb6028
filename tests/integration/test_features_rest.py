"""The whole path of a feature: from the REST API to an FDB, and back as CoverageJSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from caller import Caller
from feature_fields import DATES, GRIDS, STEPS, fill, make, nearest, request
from generated_features import COUNT, Generator
from two_servers import SECRET, federated, sections

from testbed.server import StandaloneServer
from testbed.waiting import until

pytestmark = pytest.mark.unmeasured

POINTS = [[48.8, 2.3], [-33.9, 151.2], [64.1, -21.9]]
SERIES = {"type": "timeseries", "points": POINTS, "time_axis": "step", "range": {"start": 0, "end": 24}}


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the FDBs of the server are, each in a folder with the name of its grid."""
    return tmp_path_factory.mktemp("features")


@pytest.fixture(scope="module")
def server(archives: Path) -> Iterator[StandaloneServer]:
    """A server that serves features of two FDBs, with a grid each."""
    sources = {
        grid: {
            "type": "polytope",
            "gribjump_config": {"type": "local"},
            "fdb_config": fill(archives / grid, [grid]),
            "max_attempts": 2,
            # Parameters in other spellings than those of the requests.
            "match": {"expver": [GRIDS[grid]], "step": ["0/to/24/by/1"], "param": ["167.128", 151, "T"]},
            "check_available": grid == "octahedral",
        }
        for grid in ("octahedral", "regular")
    }
    cache = {"gribjump_config": {"type": "local", "cache": {"size": 100}}}
    config = {
        "federation": {"peer": {"secret": SECRET, "allowed-realms": ["test"]}},
        "worker": {"retry_delay": 0.1},
        "datasources": {**sources, "other": {**sources["regular"], **cache}},
        "collections": {
            "features": {"roles": {"test": ["default"]}, "datasources": list(sources)},
            "other": {"roles": {"test": ["default"]}, "datasources": ["other"]},
        },
    }
    with StandaloneServer(archives / "server", config) as server:
        yield server


@pytest.fixture
def alice(server: StandaloneServer, caller_of: type[Caller]) -> Caller:
    return caller_of(server)


def retrieve(caller: Caller, feature: Any, collection: str = "features", **keys: Any) -> Any:
    """The CoverageJSON of a request."""
    answer = caller.end_of(caller.submit(collection, {**keys, "feature": feature}))
    assert answer.status_code == 303, answer.text
    data = caller.get(answer.headers["Location"].removeprefix(".."))
    assert data.headers["Content-Type"] == "application/prs.coverage+json"
    return data.json()


def refused(caller: Caller, feature: Any, **keys: Any) -> str:
    """Why a request is refused when it is submitted."""
    request_ = {**keys, "feature": feature}
    answer = caller.post("/requests/features", {"verb": "retrieve", "request": request_})
    assert answer.status_code == 400, answer.text
    return str(answer.json()["message"])


@pytest.mark.parametrize("grid", ["octahedral", "regular"])
def test_a_time_series_has_the_values_of_the_nearest_points(alice: Caller, grid: str) -> None:
    found = retrieve(alice, SERIES, **request(grid, param="2t"))
    values = [one["ranges"]["2t"]["values"] for one in found["coverages"]]
    fields = [make(grid, "167", date=DATES[0], step=step) for step in STEPS]
    assert values == [[field.values[nearest(grid, *point)] for field in fields] for point in POINTS]


def test_a_feature_passes_through_another_server(server: StandaloneServer, tmp_path: Path) -> None:
    sources = {"features": federated(server, "features")}
    with StandaloneServer(tmp_path / "relay", sections(sources)) as relay:
        asked = request("regular", param="2t")
        assert retrieve(Caller(relay), SERIES, **asked) == retrieve(Caller(server), SERIES, **asked)
        # What is wrong with it the other server finds
        ended = Caller(relay).end_of(Caller(relay).submit("features", {**asked, "feature": {"type": "x"}}))
        assert (ended.status_code, "feature" in ended.json()["message"]) == (400, True)


def test_data_sources_have_configurations_of_gribjump_of_their_own(alice: Caller) -> None:
    expected = [make("regular", "167", step=step).values[nearest("regular", *POINTS[0])] for step in STEPS]
    for collection in ("features", "other", "features", "other"):
        found = retrieve(alice, SERIES, collection, **request("regular", param="2t"))
        assert found["coverages"][0]["ranges"]["2t"]["values"] == expected


def test_what_a_feature_asks_for_is_judged_by_the_rules_of_the_data_source(alice: Caller) -> None:
    feature = {**SERIES, "range": {"start": 0, "end": 30, "interval": 6}}
    assert "'30' not in" in refused(alice, feature, **request("regular", param="2t"))


def test_a_parameter_is_judged_by_any_spelling_of_it(alice: Caller) -> None:
    assert retrieve(alice, SERIES, **request("regular", param="2t"))["coverages"]
    said = refused(alice, SERIES, **request("regular", param="2t/tp"))
    assert "'tp' not in ['167.128', '151', 'T']" in said


def test_a_malformed_feature_is_refused_with_what_is_wrong(alice: Caller) -> None:
    feature = {**SERIES, "points": [[91, 0]]}
    assert "91" in refused(alice, feature, **request("regular", param="2t"))


def test_a_missing_field_fails_the_request_and_is_named(alice: Caller) -> None:
    keys = request(
        "regular", param="msl", feature={**SERIES, "range": {"start": 6, "end": 18, "interval": 6}}
    )
    answer = alice.end_of(alice.submit("features", keys))
    assert answer.status_code == 400
    assert "step 18 of Mean sea level pressure is not in the archive" in answer.json()["message"]


def test_a_missing_field_is_refused_at_submission_where_a_worker_is_asked(alice: Caller) -> None:
    feature = {**SERIES, "range": {"start": 6, "end": 18, "interval": 6}}
    keys = {"verb": "retrieve", "request": request("octahedral", param="msl", feature=feature)}
    # Without an answer in time, as before its child has started, a request is accepted.
    until(lambda: alice.post("/requests/features", keys).status_code == 400)
    assert "step 18 of Mean sea level pressure" in alice.post("/requests/features", keys).json()["message"]


def test_a_crash_of_gribjump_ends_an_attempt_and_no_worker(
    server: StandaloneServer, alice: Caller, archives: Path
) -> None:
    # Given an index that GribJump cannot read, upon which it aborts the process
    keys = request("regular", date=DATES[1], param="2t", feature=SERIES)
    [data] = (archives / "regular" / "data").glob(f"*{DATES[1]}*/fc:sfc*.data")
    index = data.with_name(f"{data.name}.gribjump")
    index.touch()
    worker = server.processes("worker")[0].pid
    # When it is asked for: each attempt ends with its child
    answer = alice.end_of(alice.submit("features", keys))
    index.unlink()
    assert (answer.status_code, answer.json()["message"]) == (
        400,
        "Request failed with error:\nThe data source ended unexpectedly.\nGiven up after 2 attempts.",
    )
    # Then the same worker serves the next request
    assert server.processes("worker")[0].pid == worker
    found = retrieve(alice, SERIES, **request("regular", date=DATES[1], param="2t"))
    assert len(found["coverages"]) == len(POINTS)


def test_generated_requests_are_answered_and_end_and_no_process_does(
    server: StandaloneServer, alice: Caller
) -> None:
    # Given requests that are good, but for their features
    fields = {**request("regular", levtype="pl", param="130")}
    generator, count = Generator(fields, whole=0.9), max(COUNT // 5, 60)
    before = processes(server)
    ends: Counter[int] = Counter()
    for number in range(count):
        text = generator.request(number)
        answer = alice.post("/requests/features", {"verb": "retrieve", "request": text})
        assert answer.status_code in (202, 400), f"{number}: {answer.text}"
        if answer.status_code == 202:
            end = alice.end_of(answer.json()["id"])
            assert end.status_code in (303, 400), f"{number}: {end.text}"
            ends[end.status_code] += 1
            assert "unexpected" not in end.text.lower(), f"{number}: {text[:500]}: {end.text}"
            if end.status_code == 303:
                data = alice.get(end.headers["Location"].removeprefix("..")).json()
                assert data["type"] == "CoverageCollection"
    # Then some of them end either way, and what has served them still runs
    assert ends[303] > count / 12, ends
    assert before <= processes(server)


def processes(server: StandaloneServer) -> set[int]:
    """Those of the server: also the children of its worker, in which requests are served."""
    return {one.pid for one in psutil.Process(server.pid).children(recursive=True)}
