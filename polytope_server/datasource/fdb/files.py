"""Files of an FDB on this machine."""

from __future__ import annotations

from typing import Any

_SCHEME = "file://"


def path_of(uri: Any) -> str:
    """The path of the file that a field is in, of the URI that pyfdb gives for it.

    Not `uri.path()`, for which a `?`, a `#` or a `%` in the name of a folder is more than a character.
    """
    return str(uri).removeprefix(_SCHEME)
