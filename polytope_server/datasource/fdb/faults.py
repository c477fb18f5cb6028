"""What a user should read of the errors of pyfdb, whose texts are for its developers."""

from __future__ import annotations

import re

_ABSENT = re.compile(r"Serious bug: Could not find \[(\w+)\]")
_BY_USER = re.compile(r"(?:UserError: |Bad value: |Bad parameter: )+")
#: What follows is the expanded request, or every value that would do.
_REST = re.compile(r",? (?:request=|expanded=|with context: |in \[)")
#: metkit's checks of its own code, which users see where it does not expect such a value.
_ASSERTION = re.compile("Assertion failed: .*")
_TYPE = r"Type\w+\[name=(\w+)[^:]*: "
_SENTENCES = (
    (re.compile(_TYPE + r"cannot expand '(.*)'"), r"key '\1': '\2' is not one of its values"),
    (re.compile(_TYPE + r"Key \[\w+\] not acceptable"), r"key '\1' does not go with the other keys"),
    (re.compile(r"Only one value possible for '(\w+)'"), r"key '\1' takes one value only"),
    (_ASSERTION, "a value of the request cannot be read"),
)
_LONGEST = 300
#: Alone, it may be one of the FDB's configuration.
_BAD_PARAMETER = "Bad parameter: "


def user_fault(text: str) -> str | None:
    """The sentence for an error of pyfdb; None where it is not the user's fault."""
    if absent := _ABSENT.match(text):
        return f"the FDB files fields under the key '{absent[1]}', which a message does not have"
    found = _BY_USER.match(text)
    if not found or found[0] == _BAD_PARAMETER:
        return None
    short = _REST.split(text[found.end() :])[0].strip()
    for pattern, sentence in _SENTENCES:
        if said := pattern.fullmatch(short):
            return said.expand(sentence)[:_LONGEST]
    return short[:_LONGEST]
