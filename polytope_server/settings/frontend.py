"""The sections about callers: `frontend`, with its limits, and `support`."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from polytope_server.settings.addresses import BindAddress, HostAndPort, HTTPBase
from polytope_server.settings.connections import ConnectionsSettings, TransfersSettings
from polytope_server.settings.management import ManagementSettings
from polytope_server.settings.networks import Network
from polytope_server.settings.section import Section, part
from polytope_server.settings.values import Duration, Port, RequestSize, Size

#: Where users get help.
Contact = Annotated[str, Field(pattern=r"^(https?://|mailto:)[!-~]+$")]


class DoorLimitsSettings(Section):
    """`frontend.limits`: numbers are unlimited unless given."""

    calls_per_second: float | None = Field(
        None,
        alias="calls-per-second",
        gt=0,
        le=1_000_000,
        description="Calls of a user, on average; counted in the cache for all frontends.",
    )
    burst: int | None = Field(
        None,
        ge=1,
        le=1_000_000_000,
        description="Calls of a user that may come at once; by default those of 10 seconds.",
    )
    per_user: int | None = Field(
        None, alias="per-user", ge=1, description="Requests of a user that have not ended."
    )
    text_per_user: Size = Field(
        1 << 30,
        alias="text-per-user",
        gt=0,
        description="Bytes of the texts of a user's requests that have not ended: as sent, and as their data "
        "sources get them.",
    )
    total: int | None = Field(None, ge=1, description="Requests of all users that have not ended.")

    @model_validator(mode="after")
    def _fit_together(self) -> DoorLimitsSettings:
        if self.burst is not None:
            if self.calls_per_second is None:
                raise ValueError("burst needs calls-per-second beside it")
            if self.burst < self.calls_per_second:
                raise ValueError(
                    f"burst is {self.burst}: expected calls-per-second ({self.calls_per_second:g}) or more"
                )
        return self

    @property
    def calls_at_once(self) -> int:
        """`burst`, or its default."""
        return self.burst or math.ceil((self.calls_per_second or 0.0) * 10)


class FrontendSettings(Section):
    """`frontend`: the REST API."""

    server: str = Field("gunicorn", description="Key of the earlier server; no effect.")
    handler: str = Field("falcon", description="Key of the earlier server; no effect.")
    bind_to: BindAddress = Field(
        "localhost", description="Host name or address to listen on; empty for every IPv4 address."
    )
    port: Port = Field(5000, description="Port to listen on; 0 takes a free one.")
    workers: int = Field(1, ge=1, le=64, description="Number of server processes.")
    proxy_support: bool = Field(
        False,
        description="Trust one hop of X-Forwarded-For, -Proto, -Host, -Port and -Prefix. "
        "Only behind a proxy that sets them.",
    )
    proxies: list[Network] = Field(
        default_factory=list,
        description="Addresses and networks of the proxies, whose headers alone are trusted then, and whose "
        "connections are those of many clients. With `proxy_support` and no list every peer counts as a "
        "proxy, without `proxy_support` none does.",
    )
    public_url: HTTPBase | None = Field(
        None,
        description="Base of absolute locations in answers, for example `https://polytope.example.org`.",
    )
    hosts: list[HostAndPort] = Field(
        default_factory=list,
        description="Where there is no `public_url`: the names of this server, HOST or HOST:PORT as in the "
        "addresses that clients use. Locations in the answers to a call to one of them are absolute. Behind "
        "a proxy that ends TLS or a path prefix this needs `proxy_support`.",
    )
    poll_wait: Duration = Field(
        10.0, le=300, description="A poll is held at most this long until the request ends; 0 for no hold."
    )
    submit_wait: Duration = Field(
        0.0, le=300, description="A POST is held at most this long, to report an early failure on it."
    )
    questions: int = Field(
        16,
        ge=0,
        le=1000,
        description="Questions about data that each server process asks workers at a time; 0: none.",
    )
    question_wait: Duration = Field(
        1.0,
        gt=0,
        le=30,
        description="How long an answer of a worker is waited for at most when a request is submitted; "
        "without one the request is accepted.",
    )
    max_body: Size = Field(512 << 10, description="Largest body of a call that is not an upload.")
    max_request: RequestSize = Field(
        64 << 10, description="Largest request, as text; a collection may have its own `max_request`."
    )
    listed: int = Field(
        10_000,
        ge=0,
        le=1_000_000,
        description="A list of requests shows all that have not ended, and this many of the newest others.",
    )
    max_upload: Size = Field(1 << 40, description="Largest upload.")
    limits: DoorLimitsSettings = part(DoorLimitsSettings, "What a user, or all of them, may ask for.")
    connections: ConnectionsSettings = part(
        ConnectionsSettings, "How many connections each server process has, and how long it waits for them."
    )
    transfers: TransfersSettings = part(
        TransfersSettings, "Downloads of more than 64 KiB and uploads, in each server process."
    )
    management: ManagementSettings = part(ManagementSettings, "Liveness, readiness and metrics.")

    def is_own_host(self, host: str) -> bool:
        """Whether `hosts` has this HOST or HOST:PORT; the usual ports may be left out."""
        return bool(self.hosts) and _without_usual_port(host) in map(_without_usual_port, self.hosts)


def _without_usual_port(host: str) -> str:
    return host.lower().removesuffix(":80").removesuffix(":443")


class SupportSettings(Section):
    """`support`: where users get help; named in errors that they cannot resolve themselves."""

    default_url: Contact | None = Field(
        None, description="An address such as `https://support.example.org` or `mailto:help@example.org`."
    )
    realms: dict[str, Contact] = Field(
        default_factory=dict, description="The same for users of a realm, by realm."
    )

    @field_validator("default_url")
    @classmethod
    def _fit_for_clients(cls, url: str | None) -> str | None:
        # It is part of a 401, and polytope-client 0.7 raises a TypeError on one that contains that word.
        if url and "expired" in url:
            raise ValueError("expected an address without the word 'expired', which old clients fail on")
        return url
