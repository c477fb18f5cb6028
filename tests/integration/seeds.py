"""Secrets that a test plants, and what it asks a server so that they could show."""

from __future__ import annotations

import base64
import hashlib
import secrets
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import jwt
import requests
from requests.structures import CaseInsensitiveDict

from polytope_server.redaction import spellings
from testbed.server import StandaloneServer, basic, free_port

DEBUG = {"mode": "json", "level": "DEBUG"}


class Seeds(dict[str, str]):
    """Secrets by what they are for, made when they are asked for, with what libraries like to escape."""

    def __missing__(self, name: str) -> str:
        self[name] = f"seed/{name} {secrets.token_hex(12)}" if "password" in name else secrets.token_hex(24)
        return self[name]

    def found(self, text: str) -> set[str]:
        """The names of those that stand in a text, in whatever spelling."""
        return {name for name, seed in self.items() if any(form in text for form in spellings([seed]))}


class Witness(requests.Session):
    """Calls a server, and keeps everything that it answers."""

    def __init__(self, server: StandaloneServer) -> None:
        super().__init__()
        self.trust_env = False
        self.url = server.url
        self.answers: list[str] = []

    def call(self, method: str, path: str, authorization: str | None, **options: Any) -> requests.Response:
        headers = CaseInsensitiveDict(options.pop("headers", {}))
        if authorization is not None:
            headers["Authorization"] = authorization
        options.setdefault("timeout", 60)
        answer = self.request(method, f"{self.url}{path}", headers=headers, allow_redirects=False, **options)
        assert answer.status_code != 500, answer.text
        self.answers.append(f"{answer.status_code} {answer.headers} {answer.text}")
        return answer

    def submit(self, collection: str, text: str, authorization: str) -> str:
        """Submit; returns the id."""
        body = {"verb": "retrieve", "request": text}
        answer = self.call("POST", f"/requests/{collection}", authorization, json=body)
        assert answer.status_code == 202, answer.text
        return answer.headers["Location"].rpartition("/")[2]

    def end_of(self, request_id: str, authorization: str) -> requests.Response:
        """The answer to a poll when the request has ended."""
        while (answer := self.call("GET", f"/requests/{request_id}", authorization)).status_code == 202:
            pass
        return answer


def keyed(seeds: Seeds) -> dict[str, Any]:
    """The sections of a server with data sources that need a key, and one that does not."""
    everybody = {realm: ["default"] for realm in ("plain", "mail", "cloak", "far", "people", "peers")}
    attributes = {"ecmwf-apikey": seeds["user attribute"], "ecmwf-email": "pia@example.org"}
    users = [{"uid": "pia", "password": seeds["password of pia"], "attributes": attributes}]
    return {
        "logging": DEBUG,
        "worker": {"retry_delay": 0.01, "max_attempts": 2, "concurrency": 2},
        "authentication": {
            "plain": {
                "authenticators": {"users": {"type": "plain", "users": users}},
                "authorizers": {"admins": {"type": "plain", "roles": {"admin": ["pia"]}}},
            }
        },
        "admin": {"roles": {"plain": ["admin"]}},
        "datasources": {
            "keyed": {"type": "keyed", "pin": seeds["pin"]},
            "unkeyed": {"type": "keyed", "named": False},
            "echo": {"type": "echo"},
            "away": {
                "type": "http",
                "url": f"http://127.0.0.1:{free_port()}/?token={seeds['token in an address']}",
                "headers": {"Authorization": f"Bearer {seeds['header of a data source']}"},
            },
        },
        "collections": {
            "held": {"roles": everybody, "datasources": ["keyed"], "limits": {"total": 0}},
            **{
                name: {"roles": everybody, "datasources": [name]}
                for name in ("keyed", "unkeyed", "echo", "away")
            },
        },
    }


def ways_of_asking(witness: Witness, seeds: Seeds, authorization: str) -> None:
    """Requests of every end; the key reaches only the data source that needs it."""
    key = seeds["user attribute"]
    results = {("keyed", "log"): key, ("keyed", "x"): key, ("unkeyed", "x"): "nothing"}
    for (collection, text), expected in results.items():
        answer = witness.end_of(witness.submit(collection, text, authorization), authorization)
        assert answer.status_code == 303, answer.text
        place = answer.headers["Location"]
        data = requests.get(
            place if "://" in place else f"{witness.url}/{place.removeprefix('../')}", timeout=60
        )
        assert data.text == hashlib.sha256(expected.encode()).hexdigest()
    messages = {
        "refuse": "the service refuses the key ***",
        "retry": "the service does not answer to ***\nGiven up after 2 attempts.",
        "crash": "The data source failed unexpectedly.\nGiven up after 2 attempts.",
        "break": "The data source failed unexpectedly.\nGiven up after 2 attempts.",
    }
    for text, message in messages.items():
        answer = witness.end_of(witness.submit("keyed", text, authorization), authorization)
        assert answer.json() == {"message": f"Request failed with error:\n{message}"}
    witness.end_of(witness.submit("away", "x", authorization), authorization)
    held = witness.submit("held", "x", authorization)
    (listed,) = witness.call("GET", "/requests/held", authorization).json()["message"]
    assert (listed["id"], listed["user"]["attributes"]) == (held, {})
    assert "sealed" not in listed


def wrong_calls(witness: Witness, seeds: Seeds, right: str) -> None:
    """Credentials that are wrong or malformed, and calls that are refused."""
    token = jwt.encode({"sub": seeds["claim of a token"], "exp": 2**31}, seeds["key of a token"] * 2)
    seeds["token"] = token
    wrong = [
        basic("pia", seeds["wrong password"])["Authorization"],
        f"Basic {seeds['malformed Basic']}%%%",
        f"basic  {base64.b64encode(seeds['Basic without a colon'].encode()).decode()}",
        f"Bearer {token}",
        f"Bearer {seeds['unknown key']}",
        f"EmailKey emil@example.org:{seeds['wrong EmailKey']}",
        f"EmailKey {seeds['malformed EmailKey']}",
        f"Federation {seeds['wrong peer secret']}:fred:peers",
        f"Plain {seeds['malformed Plain']}, Bearer {seeds['second of several']}",
    ]
    for authorization in wrong:
        for path in ("/user", "/requests/keyed"):
            assert witness.call("GET", path, authorization).status_code in (401, 503)
    query = f"?token={seeds['token of a client']}&X-Amz-Signature={seeds['signature of a client']}"
    witness.call("GET", f"/requests/unknown{query}", right)
    witness.call("GET", f"/nothing{query}", right)
    witness.call("DELETE", f"/collections{query}", right)
    witness.call("POST", "/requests/echo", right, data=b"{", headers={"Content-Type": "application/json"})
    url = f"http://me:{seeds['input of an archive']}@127.0.0.1/x"
    witness.call("POST", "/requests/echo", right, json={"verb": "archive", "request": "x", "url": url})


def sealed_rows(server: StandaloneServer) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(server.data / "polytope.sqlite")) as database:
        return database.execute("SELECT collection, sealed FROM requests WHERE sealed <> ''").fetchall()


def folder(path: Path, *skipped: str) -> str:
    """All that lies in a folder, as text."""
    files = [file for file in path.rglob("*") if file.is_file() and file.name not in skipped]
    assert files
    return "\n".join(f"{file}\n{file.read_bytes().decode('latin-1')}" for file in files)


def check_nothing_is_found(seeds: Seeds, texts: Mapping[str, str]) -> None:
    for place, text in texts.items():
        assert text
        found = seeds.found(text)
        lines = [line[:2000] for line in text.splitlines() if seeds.found(line)]
        assert not found, f"{found} in {place}:\n" + "\n".join(lines[:5])
