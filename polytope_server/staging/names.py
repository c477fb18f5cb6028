"""Names of objects: how they are made, and what they look like.

Back-ends keep all other names out of paths and addresses.
"""

from __future__ import annotations

import re
import secrets

from polytope_server.media_types import EXTENSIONS, extension

_REQUEST_ID = re.compile("[A-Za-z0-9-]{1,64}")
_NAME = re.compile(
    rf"{_REQUEST_ID.pattern}/[A-Za-z0-9][A-Za-z0-9_-]{{0,63}}\.(?:{'|'.join(EXTENSIONS.values())})"
)


def new_object_name(request_id: str, content_type: str) -> str:
    """A fresh, unguessable name `<request id>/<128-bit token>.<extension>`."""
    return f"{request_id}/{secrets.token_hex(16)}.{extension(content_type)}"


def request_of(name: str) -> str:
    """The id of the request that an object belongs to."""
    return name.partition("/")[0]


def is_object_name(name: str) -> bool:
    """Whether it is a name as :func:`new_object_name` makes them."""
    return _NAME.fullmatch(name) is not None


def is_request_id(text: str) -> bool:
    """Whether objects can belong to a request of that id."""
    return _REQUEST_ID.fullmatch(text) is not None
