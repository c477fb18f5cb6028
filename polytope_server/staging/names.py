"""What names of objects look like, for the back-ends that must keep others out of paths and addresses."""

from __future__ import annotations

import re

from polytope_server.media_types import EXTENSIONS

_REQUEST_ID = re.compile("[A-Za-z0-9-]{1,64}")
_NAME = re.compile(
    rf"{_REQUEST_ID.pattern}/[A-Za-z0-9][A-Za-z0-9_-]{{0,63}}\.(?:{'|'.join(EXTENSIONS.values())})"
)


def is_object_name(name: str) -> bool:
    """Whether it is a name as :func:`polytope_server.staging.new_object_name` makes them."""
    return _NAME.fullmatch(name) is not None


def is_request_id(text: str) -> bool:
    """Whether objects can belong to a request of that id."""
    return _REQUEST_ID.fullmatch(text) is not None
