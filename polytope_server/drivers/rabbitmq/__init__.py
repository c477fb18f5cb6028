"""RabbitMQ, for the queue and the notices: their common keys, and a connection that comes back by itself."""

from __future__ import annotations

import logging
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from polytope_server.settings.addresses import Host
from polytope_server.settings.values import Duration, Port

# The driver logs each failed attempt several times, with traces; what operators need is logged here.
logging.getLogger("pika").setLevel(logging.CRITICAL)


class RabbitMQSettings(BaseModel):
    """Keys of the queue and of the notices on RabbitMQ."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
    host: Host = Field("localhost", description="Name or address of the server.")
    port: Port = Field(5672, description="Its port.")
    name: str = Field(
        "default",
        pattern=r"^[A-Za-z0-9_.:-]{1,64}$",
        description="Name of the default queue; begins the names of the other queues, and of the exchanges "
        "for notices.",
    )
    user: str = Field("guest", description="User name. RabbitMQ lets `guest` in from its own machine only.")
    password: str = Field("guest", repr=False, description="Password.")
    virtual_host: str = Field("/", min_length=1, description="The virtual host.")
    keep_alive_interval: Duration = Field(
        30,
        ge=2,
        le=3600,
        description="Heartbeat: a connection that is silent for so long is taken for lost.",
    )
    tls: bool = Field(
        False, description="Whether to use TLS; the certificate of the server must be valid for `host`."
    )
    ca_file: Path | None = Field(
        None,
        description="Certificates (PEM) of the authorities to trust with `tls`; by default the system's.",
    )
