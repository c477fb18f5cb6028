import pytest

from polytope_server.authentication.header import Credential, challenge, split


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("Basic abc", [("Basic", "abc")]),
        ("basic   abc  ", [("basic", "abc")]),
        ("EmailKey a@b:k, Bearer k,Basic abc", [("EmailKey", "a@b:k"), ("Bearer", "k"), ("Basic", "abc")]),
        ("Basic, Bearer k, , x", [("Bearer", "k")]),
        ("Federation s:a user:r", [("Federation", "s:a user:r")]),
        ("", []),
        (",,,", []),
        ("Basic", []),
        ("Ba(sic abc", []),
        ("x" * 33 + " abc", []),
        ("Basic a\nb", []),
        ("Basic a\x00b, Bearer k", []),
        ("Bearer \ud800", []),
        ("Bearer\tk", [("Bearer", "k")]),
    ],
)
def test_a_header_is_split(header: str, expected: list[tuple[str, str]]) -> None:
    assert split(header) == [Credential(*pair) for pair in expected]


@pytest.mark.parametrize(
    "header",
    ["Bearer josé", "Bearer josé".encode().decode("latin-1"), "Bearer 日".encode().decode("latin-1")],
)
def test_utf_8_is_read_however_the_web_server_decoded_it(header: str) -> None:
    assert split(header)[0].credentials in ("josé", "日")


def test_a_header_of_many_parts_is_read_to_a_bound() -> None:
    assert len(split(", ".join(["Basic abc"] * 100))) == 8


def test_a_challenge_quotes_the_realm() -> None:
    assert challenge("Bearer", "my realm", "") == 'Bearer realm="my realm"'
    assert challenge("Bearer", 'a"b\\c\nd', "hint") == 'Bearer realm="a\\"b\\\\c?d", info="hint"'


def test_a_challenge_for_names_and_passwords_says_how_they_are_encoded() -> None:
    assert challenge("Basic", "r", "hint") == 'Basic realm="r", charset="UTF-8", info="hint"'
