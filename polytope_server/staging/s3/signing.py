"""Signed addresses, and small objects sent whole, without the rest of what boto3 does for each call.

boto3 evaluates the rules for addresses, checks parameters and asks its many handlers, which takes more
processor time than the call itself. Here it is asked once, where the objects of the bucket are; signatures
and connections are those of botocore.
"""

from __future__ import annotations

import base64
import os
import socket
from collections.abc import Mapping
from typing import Any

from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError, NoCredentialsError
from botocore.httpsession import URLLib3Session
from botocore.utils import get_environ_proxies

#: Any name: what comes before it in the address of such an object is the same for all.
_NAME = "r/x.bin"


class Objects:
    """The objects of one bucket, by the client of boto3 that is set up for it."""

    def __init__(self, client: Any, credentials: Any, bucket: str) -> None:
        self._client, self._credentials, self._bucket = client, credentials, bucket
        self._base = ""

    def _address(self, name: str) -> str:
        if not self._base:
            parameters = {"Bucket": self._bucket, "Key": _NAME}
            address: str = self._client.generate_presigned_url("get_object", Params=parameters)
            self._base = address.partition("?")[0].removesuffix(_NAME)
        return self._base + name

    def _known(self) -> tuple[Any, str, str]:
        """What signatures are made with; temporary credentials are renewed in time."""
        if self._credentials is None:
            raise NoCredentialsError
        return self._credentials.get_frozen_credentials(), "s3", self._client.meta.region_name

    def presign(self, name: str, seconds: int) -> str:
        """An address by which anyone gets that object for `seconds`. Raises BotoCoreError."""
        request = AWSRequest("GET", self._address(name))
        S3SigV4QueryAuth(*self._known(), expires=seconds).add_auth(request)
        address: str = request.url
        return address

    def signed(self, name: str, body: bytes | bytearray, md5: bytes, headers: Mapping[str, str]) -> Any:
        """The request that makes an object, for :class:`Sender`. Raises BotoCoreError.

        `body` is bound to the signature by its SHA-256, and by its MD5, which more servers verify.
        """
        checked = {"Content-MD5": base64.b64encode(md5).decode(), **headers}
        request = AWSRequest("PUT", self._address(name), checked, bytes(body))
        S3SigV4Auth(*self._known()).add_auth(request)
        return request.prepare()


class Sender:
    """Connections for calls that are tried once."""

    def __init__(self, endpoint: str, connections: int, times: tuple[float, float], trusted: Any) -> None:
        """`times` are those to connect and to answer, in seconds; `trusted` names a file of certificates.

        Proxies and certificates come from the environment as for boto3.
        """
        self._session = URLLib3Session(
            verify=trusted or os.environ.get("REQUESTS_CA_BUNDLE") or True,
            proxies=get_environ_proxies(endpoint),
            timeout=times,
            max_pool_connections=connections,
            # Else the body, which comes after the head, waits for the head's acknowledgement: 40 ms.
            socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
        )

    def send(self, request: Any) -> str:
        """The ETag of the object that the request has made; empty if it has not, or if that is not known."""
        try:
            answer = self._session.send(request)
        except BotoCoreError:
            return ""
        return str(answer.headers.get("ETag", "")) if answer.status_code == 200 else ""

    def close(self) -> None:
        """Close the connections."""
        self._session.close()
