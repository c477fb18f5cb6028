"""The keys of the staging on S3, and what does not need a server."""

from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
from botocore import auth
from pydantic import ValidationError

from polytope_server.settings import backends
from polytope_server.settings.masking import mask
from polytope_server.staging.s3 import S3Staging
from polytope_server.staging.s3.client import S3Client
from polytope_server.staging.s3.clients import make_client, make_clients
from polytope_server.staging.s3.settings import S3Settings

NAME = "r1/0123456789abcdef0123456789abcdef.grib"
ACCOUNT = {"access_key": "name", "secret_key": "hidden"}


@pytest.mark.parametrize(
    ("keys", "endpoint"),
    [
        ({"host": "http://s3", "port": "8333"}, "http://s3:8333"),
        ({"host": "s3"}, "http://s3:8333"),
        ({"host": "s3.example.org/", "port": 443, "use_ssl": True}, "https://s3.example.org:443"),
        ({"host": "https://s3:9000", "port": 8333}, "https://s3:9000"),
        ({"host": "http://s3", "use_ssl": True}, "http://s3:8333"),
        ({"host": "[::1]"}, "http://[::1]:8333"),
        ({"host": ""}, None),
        ({}, None),
    ],
)
def test_the_address_of_the_server(keys: dict[str, Any], endpoint: str | None) -> None:
    assert S3Settings(**keys).endpoint == endpoint


@pytest.mark.parametrize(
    "host", ["ftp://s3", "s3:port", "http://", "http://name:hidden@s3", "s3?x=y", "s3:0"]
)
def test_what_is_no_address_is_refused_without_showing_it(host: str) -> None:
    with pytest.raises(ValidationError, match=r"expected a host such as") as caught:
        S3Settings(host=host)
    assert "hidden" not in str(caught.value)


def test_the_keys_of_the_earlier_server_are_known() -> None:
    settings = S3Settings(
        host="http://s3", port="8333", bucket="default", access_key="", secret_key="", url=None,
        use_ssl=False, use_presigned_url=True, presigned_url_expiry=86400, max_threads="20",
        buffer_size=20971520, should_set_policy=False,
    )  # fmt: skip
    assert settings.max_threads == 20


def test_secrets_are_masked() -> None:
    settings = S3Settings(**ACCOUNT)
    assert "hidden" not in repr(settings)
    assert mask(settings.model_dump())["secret_key"] == "***"


def test_it_is_found_under_its_names() -> None:
    assert backends.load("staging", "s3") is S3Staging
    assert backends.load("staging", "s3_boto3") is S3Staging


class TestPublicAddresses:
    @pytest.mark.parametrize(
        ("keys", "address"),
        [
            ({}, None),
            ({"url": ""}, None),
            ({"url": "https://data.example.org/s3/"}, f"https://data.example.org/s3/default/{NAME}"),
            ({"url": "data.example.org", "use_ssl": True}, f"https://data.example.org/default/{NAME}"),
            ({"url": "data.example.org:8333", "bucket": "b-1"}, f"http://data.example.org:8333/b-1/{NAME}"),
        ],
    )
    def test_public_ones(self, tmp_path: Path, keys: dict[str, Any], address: str | None) -> None:
        assert S3Staging(S3Settings(host="s3", **keys), tmp_path).public_url(NAME) == address

    def test_a_bad_name_has_none(self, tmp_path: Path) -> None:
        settings = S3Settings(host="s3", url="https://data.example.org", use_presigned_url=True)
        assert S3Staging(settings, tmp_path).public_url("../secret") is None

    @staticmethod
    async def _signed(tmp_path: Path, **keys: Any) -> str:
        settings = S3Settings(use_presigned_url=True, **ACCOUNT, **keys)
        client = S3Client(settings)
        staging = S3Staging(settings, tmp_path, client=client)
        await client.connect()
        address = staging.public_url(NAME)
        assert address is not None
        await staging.close()
        return address

    async def test_signed_ones_are_valid_for_7_days_at_most(self, tmp_path: Path) -> None:
        address = await self._signed(tmp_path, host="s3", presigned_url_expiry="30d")
        assert parse_qs(urlsplit(address).query)["X-Amz-Expires"] == ["604800"]

    @pytest.mark.parametrize(
        ("style", "host"),
        [("path", "s3.eu-west-1.amazonaws.com"), ("virtual", "b-1.s3.eu-west-1.amazonaws.com")],
    )
    async def test_amazon_needs_no_host(self, tmp_path: Path, style: str, host: str) -> None:
        address = await self._signed(tmp_path, bucket="b-1", region="eu-west-1", addressing_style=style)
        parts = urlsplit(address)
        assert (parts.scheme, parts.hostname) == ("https", host)
        assert parts.path.endswith(NAME)

    @pytest.mark.parametrize(
        "keys",
        [
            {"host": "s3"},
            {"host": "https://s3.example.org", "addressing_style": "virtual", "bucket": "b-1"},
            {"url": "https://data.example.org"},
            {"region": "eu-west-1"},
        ],
    )
    async def test_signed_ones_are_those_of_boto3(
        self, monkeypatch: pytest.MonkeyPatch, keys: dict[str, Any]
    ) -> None:
        now = datetime(2026, 11, 25, 12, 0, 0)
        monkeypatch.setattr(auth, "get_current_datetime", lambda *_: now)
        settings = S3Settings(use_presigned_url=True, **ACCOUNT, **keys)
        boto = make_client(boto3.Session(), settings, settings.public_url or settings.endpoint)
        clients = make_clients(settings)
        parameters = {"Bucket": settings.bucket, "Key": NAME}
        signed = boto.generate_presigned_url("get_object", parameters, 60)
        assert clients.shown.presign(NAME, 60) == signed
        clients.close()

    async def test_signed_ones_are_kept_while_most_of_their_time_is_left(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = 0.0
        settings = S3Settings(host="s3", use_presigned_url=True, presigned_url_expiry="1000")
        client = S3Client(settings)
        staging = S3Staging(settings, tmp_path, clock=lambda: now, client=client)
        signed: list[str] = []
        monkeypatch.setattr(client, "presign", lambda name: signed.append(name) or f"{len(signed)}")
        assert [staging.public_url(NAME) for _ in range(3)] == ["1"] * 3
        now = 99.0
        assert staging.public_url(NAME) == "1"
        now = 101.0
        assert staging.public_url(NAME) == "2"
        await staging.close()
