"""The keys of the data source federated."""

from __future__ import annotations

from typing import Any

import pydantic
import pytest

from polytope_server.datasource.federated import FederatedDataSource, FederatedSettings
from polytope_server.datasource.federated.peer import Peer

KEYS = {"url": "https://peer.example.org", "secret": "of-two-servers", "collection": "all"}


def settings(**keys: Any) -> FederatedSettings:
    return FederatedSettings.model_validate({**KEYS, **keys})


@pytest.mark.parametrize(
    ("keys", "base"),
    [
        ({}, "https://peer.example.org/api/v1"),
        ({"port": 443, "api_version": "v1"}, "https://peer.example.org:443/api/v1"),
        ({"port": "8443"}, "https://peer.example.org:8443/api/v1"),
        ({"url": "peer.example.org"}, "https://peer.example.org/api/v1"),
        ({"url": "http://127.0.0.1", "port": 5000}, "http://127.0.0.1:5000/api/v1"),
        ({"url": "http://127.0.0.1:5000"}, "http://127.0.0.1:5000/api/v1"),
        ({"url": "https://example.org/polytope/", "port": 444}, "https://example.org:444/polytope/api/v1"),
        ({"url": "https://[::1]", "port": 444}, "https://[::1]:444/api/v1"),
    ],
)
def test_the_address_of_the_other_server(keys: dict[str, Any], base: str) -> None:
    assert settings(**keys).base == base


@pytest.mark.parametrize(
    "keys",
    [
        {"url": "ftp://peer.example.org"},
        {"url": "https://user:word@peer.example.org"},
        {"url": "https://peer.example.org?a=b"},
        {"url": "https://peer.example.org:444", "port": 443},
        {"secret": "a:b"},
        {"secret": "a, b"},
        {"secret": ""},
        {"collection": "a/b"},
        {"collection": ""},
        {"api_version": "v2"},
    ],
    ids=str,
)
def test_what_could_not_work_is_refused(keys: dict[str, Any]) -> None:
    with pytest.raises(pydantic.ValidationError) as caught:
        settings(**keys)
    assert "of-two-servers" not in str(caught.value)


@pytest.mark.parametrize(
    ("keys", "warned"),
    [
        ({}, []),
        ({"url": "http://peer.example.org"}, ["can read the secret; use https://"]),
        ({"url": "http://127.0.0.1:5000"}, []),
        ({"url": "http://localhost:5000"}, []),
        ({"secret": "short"}, ["secret has fewer than 16 characters"]),
    ],
)
def test_what_is_careless_draws_a_warning(keys: dict[str, Any], warned: list[str]) -> None:
    found = settings(**{"secret": "of-two-servers-only", **keys}).warnings()
    assert [said for said, end in zip(found, warned, strict=True) if said.endswith(end)] == found


def test_the_secret_is_not_shown() -> None:
    assert "of-two-servers" not in f"{settings()!r} {settings()}"


@pytest.mark.parametrize(
    ("location", "resolved", "own"),
    [
        ("../downloads/a/b.grib", "https://peer.example.org:8443/p/api/v1/downloads/a/b.grib", True),
        ("./an-id", "https://peer.example.org:8443/p/api/v1/requests/an-id", True),
        (
            "http://peer.example.org/p/api/v1/downloads/a",
            "https://peer.example.org:8443/p/api/v1/downloads/a",
            True,
        ),
        ("https://peer.example.org:9000/bucket/a", "https://peer.example.org:9000/bucket/a", False),
        ("https://s3.example.org/p/api/v1/a?X-Sig=1", "https://s3.example.org/p/api/v1/a?X-Sig=1", False),
        (
            "https://peer.example.org.evil.org/p/api/v1/a",
            "https://peer.example.org.evil.org/p/api/v1/a",
            False,
        ),
    ],
)
def test_where_a_result_is_and_whether_credentials_go_there(location: str, resolved: str, own: bool) -> None:
    peer = Peer("there", settings(url="https://peer.example.org:8443/p"))
    assert (peer.resolve(location), peer.is_own(peer.resolve(location))) == (resolved, own)


def test_it_takes_requests_of_any_form_and_archives() -> None:
    assert FederatedDataSource.accepts_mappings
    assert FederatedDataSource.accepts_feature is None
    assert FederatedDataSource.archives(settings())
