"""Errors of pyfdb, in the words that users read."""

from __future__ import annotations

import pytest

from polytope_server.datasource.fdb.faults import user_fault


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "UserError: UserError: TypeEnum[name=class]: cannot expand 'zz' request=retrieve,class=zz",
            "key 'class': 'zz' is not one of its values",
        ),
        (
            "UserError: TypeMixed[name=domain,TypeEnum[name=domain.0.enum]]: cannot expand 'x' request=",
            "key 'domain': 'x' is not one of its values",
        ),
        (
            "UserError: TypeToByListFloat[name=levelist]: Key [levelist] not acceptable with context: C",
            "key 'levelist' does not go with the other keys",
        ),
        (
            "UserError: UserError: Only one value possible for 'class' request=",
            "key 'class' takes one value only",
        ),
        ("UserError: Assertion failed: value.size() >= 3 request=", "a value of the request cannot be read"),
        ("UserError: Bad parameter: Bad conversion request=", "Bad conversion"),
        ("Bad value: Invalid date 500 request=retrieve", "Invalid date 500"),
        ("UserError: UserError: Cannot match parameter x request=", "Cannot match parameter x"),
        (
            "Serious bug: Could not find [number] in",
            "the FDB files fields under the key 'number', which a message does not have",
        ),
        (
            "UserError: Database Toc(/data/od:oper) matched for archived is LOCKED against archiving",
            "the FDB takes no more fields of this date, time and kind: they are locked",
        ),
        (
            "Failed system call: fd_ = ::open() [/data/toc] (Toc.cc writeInitRecord) (Permission denied)",
            "the server has no permission to write there",
        ),
    ],
)
def test_a_mistake_of_the_user_is_said_in_words(text: str, sentence: str) -> None:
    assert user_fault(text) == sentence


@pytest.mark.parametrize(
    "text",
    ["Bad parameter: no root in /etc/fdb/config", "Serious bug: toc is damaged", "Cannot open /data/toc"],
)
def test_what_is_not_the_users_fault_is_not_said(text: str) -> None:
    assert user_fault(text) is None


def test_a_sentence_is_short() -> None:
    assert len(user_fault("UserError: Cannot match parameter " + "x" * 9999) or "") == 300
