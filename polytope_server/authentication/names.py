"""Names of users, realms and roles, as other services say them."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

#: Identity services know no longer user names and e-mail addresses.
LONGEST_NAME = 255


def is_name(text: str) -> bool:
    """Whether it can be a name: short, not empty, and without what cannot be read in a log or a header."""
    return 0 < len(text) <= LONGEST_NAME and text.isprintable()


def _name(text: str) -> str:
    if not is_name(text):
        raise ValueError("not a name")
    return text


#: A name in a token.
Name = Annotated[str, AfterValidator(_name)]
