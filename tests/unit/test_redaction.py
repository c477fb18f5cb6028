"""What is hidden, and what is not."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from urllib.parse import quote, quote_plus

import pytest

from polytope_server import redaction
from polytope_server.media_types import EXTENSIONS
from polytope_server.redaction import Redactor, is_secret, may_be_secret, present
from polytope_server.staging.names import new_object_name

#: In each of these, `SEED1` is a secret that the redactor does not know.
LOOKS = {
    "header": "Authorization: Bearer SEED1",
    "header, several": "authorization: EmailKey me@x:SEED1, Bearer SEED1, Basic U0VFRDE=SEED1",
    "header of a proxy": "Proxy-Authorization=Digest username='SEED1', response=SEED1",
    "header without a scheme": "Authorization: SEED1",
    "header, broken off": "sent Authorization: Basic SEED1%%%\r\nHost: h",
    "headers as a mapping": "{'Authorization': b'Basic SEED1', 'Host': 'h'}",
    "headers as pairs": "[(b'host', b'h'), (b'authorization', b'Federation SEED1:u:r')]",
    "headers as JSON": '{"authorization": "Plain SEED1", "x": 1}',
    "headers as JSON in JSON": r"{\"Authorization\": \"Bearer SEED1\", \"x\": 1}",
    "scheme": "cannot use Bearer SEED1 here",
    "scheme, small": "cannot use basic SEED1=",
    "scheme, EmailKey": "EmailKey me@example.org:SEED1",
    "scheme, Federation": "Federation SEED1:alice:site",
    "token in an address": "GET https://h/who-am-i?a=1&token=SEED1&b=2 -> 500",
    "token in an address, encoded": "next=https%3A%2F%2Fh%3Ftoken%3DSEED1",
    "form": "grant_type=password&username=u&password=SEED1&client_secret=SEED1",
    "presigned": "/b/o?X-Amz-Algorithm=A&X-Amz-Credential=SEED1%2F2&X-Amz-Expires=9&X-Amz-Signature=SEED1",
    "presigned, version 2": "/b/o?AWSAccessKeyId=SEED1&Signature=SEED1%3D&Expires=1",
    "signed by version 4": "AWS4-HMAC-SHA256 Credential=SEED1/x/s3, SignedHeaders=host, Signature=SEED1",
    "signature of its own line": "Signature:\nSEED1",
    "address": "cannot reach mongodb://user:SEED1@host:27017/?x=1",
    "address, odd password": "cannot reach amqp://user:p@SEED1@host:5672",
    "connection string": "connection failed: host=h password='a SEED1' user=u",
    "mapping": "{'user': 'u', 'password': 'it is SEED1', 'n': 1}",
    "JSON": '{"ecmwf-apikey":"SEED1","n":1}',
    "JSON with quotes": r'{"client_secret": "a\"SEED1", "n": 1}',
    "assignment": "S3Settings(access_key='SEED1', secret_key='SEED1')",
    "YAML": "found in line 3: ldap_password: SEED1",
    "cookie": "('cookie', 'session=SEED1')",
}
TOKENS = {
    "signed token": "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl-_",
    "token without a signature": "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZSJ9.",
    "encrypted token": "eyJhbGciOiJSU0EifQ.a-b.c_d.ZQ.Zg",
    "part of a token": "eyJzdWIiOiJhbGljZSJ9",
    "hash of a password": "$argon2id$v=19$m=65536,t=3,p=4$c2FsdA$aGFzaA",
    "sealed": "sealed.v1.AbCd-_==",
    "name of a result": "0123456789abcdef0123456789abcdef",
}
#: Ordinary lines, with words that begin a credential elsewhere.
PLAIN = [
    "the frontend is ready",
    "retrieve forecasts by alice",
    "the basic object store is down; Basic authentication failed, bearer unknown.",
    "the key's place: datasources.d.api_key: is missing",
    "secret has fewer than 32 characters: tokens could be forged",
    "invalid token: Signature has expired",
    'WWW-Authenticate: Basic realm="polytope"',
    "https://api.example.org/v1/who-am-i: status 500",
    "PostgreSQL at localhost:5432/polytope: no answer",
    "text/plain; charset=utf-8, key 'page': expected a number",
]


@pytest.mark.parametrize("text", LOOKS.values(), ids=LOOKS)
def test_what_looks_like_a_credential_is_hidden(text: str) -> None:
    assert "SEED1" not in Redactor().redact(text)
    assert "***" in Redactor().redact(text)


@pytest.mark.parametrize(
    "name",
    [
        *("password", "passwd", "passphrase", "pwd", "secret", "token", "credentials", "signature", "cookie"),
        *("authorization", "api_key", "access-key"),
    ],
)
def test_the_configuration_the_cache_and_the_log_agree_on_names_of_secrets(name: str) -> None:
    for spelling in (name, name.upper(), f"x-{name}"):
        assert is_secret(spelling)
        assert may_be_secret(spelling)
        assert "SEED1" not in Redactor().redact(f"{spelling}=SEED1")


@pytest.mark.parametrize("token", TOKENS.values(), ids=TOKENS)
def test_tokens_are_known_by_their_form(token: str) -> None:
    found = Redactor().redact(f"GET /downloads/1/{token}.grib failed")
    assert token[:20] not in found
    assert found.startswith("GET /downloads/1/***")
    assert found.endswith("failed")


@pytest.mark.parametrize("media_type", EXTENSIONS)
def test_the_link_of_a_result_is_hidden_whatever_its_media_type(media_type: str) -> None:
    name = new_object_name("3f2a", media_type)
    extension = name.rpartition(".")[2]
    assert Redactor().redact(f"GET /downloads/{name} failed") == f"GET /downloads/3f2a/***.{extension} failed"


@pytest.mark.parametrize("text", PLAIN)
def test_an_ordinary_line_stays_as_it_is(text: str) -> None:
    assert Redactor(["a secret"]).redact(text) == text


def test_what_surrounds_a_credential_stays() -> None:
    text = "GET /x?token=SEED1&b=2 of mongodb://u:SEED1@host/db, {'password': 'SEED1', 'n': 1}"
    expected = "GET /x?token=***&b=2 of mongodb://***@host/db, {'password': ***, 'n': 1}"
    assert Redactor().redact(text) == expected


SECRET = "pa'ss/w ö\"rd\\%"


@pytest.mark.parametrize(
    "written",
    [
        SECRET,
        repr(SECRET),
        repr(SECRET.encode()),
        json.dumps(SECRET),
        json.dumps(SECRET, ensure_ascii=False),
        quote(SECRET),
        quote(SECRET, safe=""),
        quote_plus(SECRET),
        base64.b64encode(SECRET.encode()).decode(),
    ],
)
def test_a_known_secret_is_hidden_however_it_is_written(written: str) -> None:
    assert Redactor([SECRET]).redact(f"<{written}>").strip("<>'\"b") == "***"


def test_short_secrets_are_not_searched_for() -> None:
    assert Redactor(["test", ""]).redact("a test of the tester") == "a test of the tester"


def test_of_two_secrets_the_longer_is_hidden_whole() -> None:
    assert Redactor(["hunter2", "hunter2-and-more"]).redact("hunter2-and-more") == "***"


def test_secrets_of_a_job_are_known_in_all_threads_until_it_ends() -> None:
    redactor, found = Redactor(["known before"]), list[str]()
    with redactor.knowing(["job's own key"]), redactor.knowing(["job's own key"]):
        thread = threading.Thread(target=lambda: found.append(redactor.redact("job's own key")))
        thread.start()
        thread.join()
    assert found == ["***"]
    assert redactor.redact("job's own key, known before") == "job's own key, ***"


def test_one_of_two_jobs_with_the_same_secret_may_end_first() -> None:
    redactor = Redactor()
    with redactor.knowing(["the same key"]):
        with redactor.knowing(["the same key"]):
            pass
        assert redactor.redact("the same key") == "***"


async def test_what_a_caller_presents_is_hidden_in_that_call_alone() -> None:
    async def call(secret: str) -> str:
        present([secret])
        return Redactor().redact("alice's own word, bobby's own word")

    calls = [asyncio.create_task(call(secret)) for secret in ("alice's own word", "bobby's own word")]
    assert await asyncio.gather(*calls) == ["***, bobby's own word", "alice's own word, ***"]
    assert Redactor().redact("alice's own word") == "alice's own word"


def test_an_ordinary_line_costs_no_regular_expression(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing:
        def sub(self, *_: object) -> str:
            raise AssertionError("a regular expression was used")

    rules = [rule._replace(pattern=Refusing()) for rule in redaction._RULES]  # type: ignore[arg-type]
    monkeypatch.setattr(redaction, "_RULES", rules)
    line = "attempt 2 of 0f8fad5b: retrieve forecasts by alice, 120 fields in 3.2 s"
    assert Redactor(["a secret"]).redact(line) == line
    with pytest.raises(AssertionError):
        Redactor().redact("Bearer x1")
