"""The keys of the data source `federated`, and the addresses that they make."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from polytope_server.datasource import DataSourceSettings
from polytope_server.settings.addresses import HTTPBase
from polytope_server.settings.values import Duration, Port

_SECRET = re.compile(r"[^:,\s]+")
#: A shorter secret draws a warning, as it does at the other server.
_LENGTH = 16


class FederatedSettings(DataSourceSettings):
    """Keys of the data source `federated`."""

    url: HTTPBase = Field(
        description="Address of the other server, what comes before `/api`: `https://polytope.example.org`. "
        "Without a scheme it is https."
    )
    port: Port | None = Field(
        None, description="Its port, if `url` names none; by default 443, or 80 for an address with http."
    )
    secret: SecretStr = Field(
        description="The secret that the section `federation` of the other server has for this one."
    )
    collection: str = Field(
        pattern=r"^[^/?#\s]+$", description="The collection of the other server to which requests go."
    )
    api_version: Literal["v1"] = Field("v1", description="Version of its REST API.")
    timeout: Duration = Field(
        60.0, gt=0, description="Longest wait for a connection, and for each piece of an answer."
    )
    outage: Duration = Field(
        900.0, description="How long the other server may be out of reach before an attempt has failed."
    )
    ca_file: str | None = Field(
        None,
        description="File with the certificates (PEM) by which that of the other server is verified; by "
        "default those of the package `certifi`.",
    )

    @field_validator("url", mode="before")
    @classmethod
    def _add_scheme(cls, url: object) -> object:
        return f"https://{url}" if isinstance(url, str) and "://" not in url else url

    @field_validator("secret")
    @classmethod
    def _check_secret(cls, secret: SecretStr) -> SecretStr:
        if not _SECRET.fullmatch(secret.get_secret_value()):
            raise ValueError("expected a text without colon, comma and space")
        return secret

    @model_validator(mode="after")
    def _name_one_port(self) -> FederatedSettings:
        found = _port_in(self.url)
        if found is not None and self.port not in (None, found):
            raise ValueError(f"url has the port {found}, and port is {self.port}; give one of them")
        return self

    def warnings(self) -> list[str]:
        """Warnings of `config check` about valid keys."""
        found = []
        if self.url.lower().startswith("http:") and not _is_here(urlsplit(self.url).hostname or ""):
            found.append("anyone between this server and url can read the secret; use https://")
        if len(self.secret.get_secret_value()) < _LENGTH:
            found.append(f"secret has fewer than {_LENGTH} characters")
        return found

    @property
    def base(self) -> str:
        """The address of its REST API, without a slash at the end."""
        parts = urlsplit(self.url)
        port = f":{self.port}" if self.port is not None and _port_in(self.url) is None else ""
        return f"{parts.scheme}://{parts.netloc}{port}{parts.path.rstrip('/')}/api/{self.api_version}"


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _port_in(url: str) -> int | None:
    try:
        return urlsplit(url).port
    except ValueError:  # a variable, which is not set here
        return None
