"""What a call to the object store says: who may, which bytes, which sum they have."""

from __future__ import annotations

import hmac
import re

import falcon
import falcon.asgi

from polytope_server.http.shell import refuse, trust
from polytope_server.media_types import OCTET_STREAM
from polytope_server.staging.checksums import announced_md5

_MEDIA_TYPE = re.compile(r"[\w!#$&^.+-]{1,64}/[\w!#$&^.+-]{1,128}(?:;[ -~]{1,128})?", re.ASCII)


class Gate:
    """Lets those pass who know the token."""

    def __init__(self, token: str) -> None:
        self._expected = f"Bearer {token}".encode()

    def check(self, req: falcon.asgi.Request) -> None:
        """Ends the call with 401 if the token is missing or wrong."""
        if not self.trusts(req):
            raise falcon.HTTPUnauthorized(
                description="This needs the token of the object store", challenges=["Bearer"]
            )

    def trusts(self, req: falcon.asgi.Request) -> bool:
        """Whether the call has the token. Then it may pause: a client or a data source is behind it."""
        given = (req.get_header("authorization") or "").encode(errors="replace")
        if not hmac.compare_digest(given, self._expected):
            return False
        trust(req)
        return True


def media_type(req: falcon.asgi.Request) -> str:
    """The media type of the body. Ends the call with 400 if it is none."""
    given = req.content_type or OCTET_STREAM
    if not _MEDIA_TYPE.fullmatch(given):
        refuse(falcon.HTTP_400, "The header Content-Type must hold a media type")
    return given


def checksum(req: falcon.asgi.Request) -> str | None:
    """The MD5 sum that the sender announces, in hex, if it does. Ends the call with 400 if it is none."""
    try:
        return announced_md5(req.get_header("x-checksum"), req.get_header("content-md5"))
    except ValueError:
        refuse(falcon.HTTP_400, "The checksum must be the MD5 sum of the data in hex")


def age(req: falcon.asgi.Request) -> float:
    """The parameter `age` in seconds. Ends the call with 400 if it is missing or no number."""
    return req.get_param_as_float("age", required=True)
