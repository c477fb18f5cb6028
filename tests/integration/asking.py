"""What submits to a server whose frontend asks workers about requests."""

from __future__ import annotations

import hashlib
from typing import Any

import requests

from testbed.server import StandaloneServer

#: Seconds; on a busy machine a child takes some to start, and the question that starts it gets no answer.
WAIT = 3.0


class Door:
    """What submits to a server."""

    def __init__(self, server: StandaloneServer, collection: str) -> None:
        self._server = server
        self._collection = collection
        self.session = server.session()

    def submit(self, request: Any) -> requests.Response:
        url = f"{self._server.url}/requests/{self._collection}"
        return self.session.post(url, json={"verb": "retrieve", "request": request}, timeout=60)

    def archive(self, request: Any, data: bytes) -> None:
        request_id = self._server.submit(self.session, self._collection, request, "archive")
        headers = {"X-Checksum": hashlib.md5(data).hexdigest()}
        url = f"{self._server.url}/uploads/{request_id}"
        assert self.session.post(url, data=data, headers=headers, timeout=60).status_code == 202
        assert self._server.poll(self.session, request_id).status_code == 200

    def refuses(self, request: Any) -> bool:
        answer = self.submit(request)
        assert answer.status_code in (202, 400), answer.text
        return answer.status_code == 400


def collection(name: str, **keys: Any) -> dict[str, Any]:
    return {
        "datasources": {name: keys},
        "collections": {name: {"roles": {"test": ["default"]}, "datasources": [name]}},
        "frontend": {"question_wait": WAIT},
    }
