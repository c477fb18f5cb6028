"""`frontend.connections` and `frontend.transfers`: what callers may hold open."""

from __future__ import annotations

from pydantic import Field

from polytope_server.settings.section import Section
from polytope_server.settings.values import Duration, Size


class ConnectionsSettings(Section):
    """`frontend.connections`: of each server process."""

    total: int | None = Field(
        None,
        ge=1,
        description="Connections at a time; by default 16384, or what file descriptors allow: 1024 of them, "
        "at most half, are kept for stores and files.",
    )
    per_address: int | None = Field(
        None,
        alias="per-address",
        ge=1,
        description="Connections of an address (IPv6: a network /64) that is no proxy; behind a proxy, calls "
        "at a time of the address that it names. By default a quarter of `total`.",
    )
    head_time: Duration = Field(
        20.0,
        alias="head-time",
        gt=0,
        description="The head of a call must be complete within this time after the connection was "
        "made, or after its first byte.",
    )
    least_rate: Size = Field(
        1000,
        alias="least-rate",
        description="Bytes a second at which a body must come and an answer must be taken, else the "
        "connection is ended; 0 for no such bound.",
    )
    rate_time: Duration = Field(
        60.0, alias="rate-time", gt=0, description="The time over which that rate is judged."
    )


class TransfersSettings(Section):
    """`frontend.transfers`: downloads of more than 64 KiB and uploads, in each server process."""

    per_user: int = Field(
        32,
        alias="per-user",
        ge=1,
        description="Transfers of a user at a time; a download is one of the user whose result it is.",
    )
    total: int = Field(128, ge=1, description="Transfers of all users at a time.")
    uploads_per_request: int = Field(
        2, alias="uploads-per-request", ge=1, description="Uploads of one request at a time."
    )
    upload_memory: Size = Field(
        64 << 20,
        alias="upload-memory",
        ge=1 << 20,
        description="Parts of uploads that are gathered for S3 at a time, of all users. One that is larger "
        "goes alone.",
    )
