"""What a user should read of the errors of pyfdb, whose texts are for its developers."""

from __future__ import annotations

import re

NO_PERMISSION = "the server has no permission to write there"
#: What the FDB says where it cannot be archived into.
_READ_ONLY = (
    (
        re.compile("UserError: Database .* is LOCKED against archiving"),
        "the FDB takes no more fields of this date, time and kind: they are locked",
    ),
    (re.compile(r"Failed system call: .* writeInitRecord\) \(Permission denied\)", re.DOTALL), NO_PERMISSION),
)
#: What the FDB says of a message that does not fit its schema, and ecCodes of one that it cannot read.
_BY_MESSAGE = (
    (
        re.compile(r"Serious bug: Could not find \[(\w+)\]"),
        r"the FDB files fields under the key '\1', which a message does not have",
    ),
    (
        re.compile(r"Serious bug: Keywords not used: \{([\w,]+)\}"),
        r"the FDB does not file fields under '\1', which a message has",
    ),
    (
        re.compile(r"Serious bug: FDB: Could not find a rule to archive \{(.*)\}", re.DOTALL),
        r"the FDB has no rule for a field with the keys \1",
    ),
    (re.compile(r"CodesException: (.*)"), r"a GRIB message cannot be read: \1"),
)
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
    for pattern, sentence in (*_READ_ONLY, *_BY_MESSAGE):
        if said := pattern.match(text):
            return said.expand(sentence)[:_LONGEST]
    found = _BY_USER.match(text)
    if not found or found[0] == _BAD_PARAMETER:
        return None
    short = _REST.split(text[found.end() :])[0].strip()
    for pattern, sentence in _SENTENCES:
        if said := pattern.fullmatch(short):
            return said.expand(sentence)[:_LONGEST]
    return short[:_LONGEST]
