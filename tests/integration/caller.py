"""A caller of REST API v1, who checks what is the same for every answer."""

from __future__ import annotations

import time
from typing import Any

import requests

from testbed.server import StandaloneServer, basic

#: On every answer of the API (docs/rest-api.md).
COMMON_HEADERS = {
    "Cache-Control": "no-cache, no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-XSS-Protection": "1; mode=block",
    "Access-Control-Allow-Origin": "*",
}
#: What a script of another site needs no permission to read, or has no use for.
NOT_EXPOSED = {name.lower() for name in COMMON_HEADERS} | {
    "access-control-allow-headers", "access-control-allow-methods", "access-control-expose-headers",
    "access-control-max-age", "connection", "content-type", "transfer-encoding",
}  # fmt: skip


class Caller:
    """Calls one server as one user, and checks on each answer what all answers have in common."""

    def __init__(self, server: StandaloneServer, user: str | None = "alice", **headers: str) -> None:
        self.server = server
        self.session = requests.Session()
        self.session.trust_env = False
        if user is not None:
            self.session.headers.update(basic(user, f"{user}'s password"))
        self.session.headers.update(headers)

    def __call__(self, method: str, path: str, **options: Any) -> requests.Response:
        """Call `path` below /api/v1 (or a whole URL), without following redirects."""
        url = path if "://" in path else f"{self.server.url}{path}"
        options.setdefault("timeout", 60)
        answer = self.session.request(method, url, allow_redirects=False, **options)
        check_common(answer)
        return answer

    def twin(self) -> Caller:
        """The same caller with another connection, for use beside the first."""
        twin = Caller(self.server, None)
        twin.session.headers.update(self.session.headers)
        return twin

    def get(self, path: str, **options: Any) -> requests.Response:
        return self("GET", path, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> requests.Response:
        """POST with a JSON body; `data=` sends other bodies."""
        return self("POST", path, **(options if "data" in options else {"json": body, **options}))

    def delete(self, path: str, **options: Any) -> requests.Response:
        return self("DELETE", path, **options)

    def submit(self, collection: str, request: Any, verb: str = "retrieve", **body: Any) -> str:
        """Submit; returns the id."""
        answer = self.post(f"/requests/{collection}", {"verb": verb, "request": request, **body})
        assert answer.status_code == 202, answer.text
        return answer.headers["Location"].rpartition("/")[2]

    def poll(self, request_id: str, prefer: str = "") -> requests.Response:
        """One poll."""
        return self.get(f"/requests/{request_id}", headers={"Prefer": prefer} if prefer else {})

    def end_of(self, request_id: str) -> requests.Response:
        """Poll until the request has ended; returns that answer."""
        deadline = time.monotonic() + 60
        while (answer := self.poll(request_id)).status_code == 202:
            assert time.monotonic() < deadline, f"the request did not end: {answer.text}"
        return answer

    def status_of(self, request_id: str) -> str:
        """The state of a request in the list of requests."""
        documents = self.get("/requests").json()["message"]
        return next((document["status"] for document in documents if document["id"] == request_id), "gone")

    def link(self, collection: str, request: Any) -> str:
        """The address of the result of a request, below /api/v1."""
        answer = self.end_of(self.submit(collection, request))
        assert answer.status_code == 303, answer.text
        return answer.headers["Location"].removeprefix("..")

    def archive(self, collection: str, data: bytes, checksum: str) -> str:
        """Submit an archive request and upload its data; returns the id."""
        request_id = self.submit(collection, "some metadata", "archive")
        answer = self("POST", f"/uploads/{request_id}", data=data, headers={"X-Checksum": checksum})
        assert answer.status_code == 202, answer.text
        return request_id


def check_common(answer: requests.Response) -> None:
    """The headers of every answer, and the shape of every error."""
    for name, value in COMMON_HEADERS.items():
        assert answer.headers.get(name) == value, (answer.request.method, answer.url, name, answer.headers)
    exposed = answer.headers["Access-Control-Expose-Headers"].lower().split(", ")
    assert {name.lower() for name in answer.headers} - NOT_EXPOSED <= set(exposed)
    call_id = answer.headers["X-Request-Id"]
    assert call_id
    if answer.request.method == "HEAD" or answer.status_code == 304:
        assert answer.content == b""
    elif answer.status_code >= 400:
        assert answer.headers["Content-Type"] == "application/json"
        body = answer.json()
        assert list(body) == ["message"], body
        assert isinstance(body["message"], str)
        assert body["message"]
        assert call_id not in body["message"]
    if answer.status_code == 401:
        assert answer.headers["WWW-Authenticate"]
        assert "expired" not in answer.text
