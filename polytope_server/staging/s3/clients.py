"""The clients for one bucket: of boto3, and what does without it where it costs too much processor time."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import boto3
import botocore.session
from botocore.config import Config
from botocore.credentials import Credentials

from polytope_server.staging.s3.settings import S3Settings
from polytope_server.staging.s3.signing import Objects, Sender

#: Seconds.
_CONNECT_TIME = 2
#: Seconds without any byte: for a question, and for a part of an object or its completion.
_ANSWER_TIME, _TRANSFER_TIME = 10, 30
#: With pauses of up to 1, 2 ... seconds in between, so that an outage is known within a few seconds.
_ATTEMPTS, _TRANSFER_ATTEMPTS = 2, 3
#: Connections that are kept, besides one for each thread: each download that is read slowly has its own.
_CONNECTIONS = 40


@dataclass(frozen=True)
class Clients:
    """All clients for one bucket, with their credentials. Connections are made by the calls."""

    #: For questions and small changes.
    questions: Any
    #: For what carries data, or is expensive to repeat from the beginning.
    transfers: Any
    #: For what sends bodies.
    senders: Any
    #: Signs the addresses that users get.
    shown: Objects
    #: Signs small objects, which `direct` sends.
    written: Objects
    direct: Sender

    def close(self) -> None:
        """Close the connections."""
        for client in (self.questions, self.transfers, self.senders, self.direct):
            client.close()


def make_clients(settings: S3Settings) -> Clients:
    """Find the credentials, and make the clients. Raises BotoCoreError."""
    # At the level DEBUG they log headers, with session tokens in them.
    for name in ("boto3", "botocore"):
        logging.getLogger(name).setLevel(logging.INFO)
    core = botocore.session.get_session()
    session = boto3.Session(botocore_session=core)
    endpoint, public = settings.endpoint, settings.public_url
    # PERF: what it sends is bound to its signature by an MD5, see S3Client.send; no SHA-256 besides.
    senders = _make_transfer_client(session, settings, sign_body=False)
    credentials = _find_credentials(session, settings)
    return Clients(
        questions=make_client(session, settings, endpoint),
        transfers=_make_transfer_client(session, settings),
        senders=senders,
        shown=Objects(make_client(session, settings, public or endpoint), credentials, settings.bucket),
        written=Objects(senders, credentials, settings.bucket),
        direct=Sender(
            senders.meta.endpoint_url,
            settings.max_threads,
            (_CONNECT_TIME, _ANSWER_TIME),
            core.get_config_variable("ca_bundle"),
        ),
    )


def _find_credentials(session: Any, settings: S3Settings) -> Any:
    key, secret = settings.access_key, settings.secret_key
    return Credentials(key, secret) if key and secret else session.get_credentials()


def make_client(session: Any, settings: S3Settings, endpoint: str | None) -> Any:
    """A client of boto3 for questions, at that endpoint, or Amazon's if it is None."""
    return _make_boto_client(session, settings, endpoint, _ANSWER_TIME, _ATTEMPTS)


def _make_transfer_client(session: Any, settings: S3Settings, *, sign_body: bool = True) -> Any:
    times = (_TRANSFER_TIME, _TRANSFER_ATTEMPTS)
    return _make_boto_client(session, settings, settings.endpoint, *times, sign_body=sign_body)


def _make_boto_client(
    session: Any,
    settings: S3Settings,
    endpoint: str | None,
    answer_time: int,
    attempts: int,
    *,
    sign_body: bool = True,
) -> Any:
    return session.client(
        "s3",
        endpoint_url=endpoint,
        region_name=settings.region or session.region_name or "us-east-1",
        aws_access_key_id=settings.access_key or None,
        aws_secret_access_key=settings.secret_key or None,
        config=Config(
            signature_version="s3v4",
            s3={"addressing_style": settings.addressing_style, "payload_signing_enabled": sign_body},
            connect_timeout=_CONNECT_TIME,
            read_timeout=answer_time,
            retries={"mode": "standard", "total_max_attempts": attempts},
            max_pool_connections=settings.max_threads + _CONNECTIONS,
            # By default boto3 sends checksums in a form that not all servers know. See S3Client.send.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )
