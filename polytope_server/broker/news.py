"""What notices have said since a broker last looked."""

from __future__ import annotations

from polytope_server.notices import Topic


class News:
    """The ids of requests by topic."""

    def __init__(self) -> None:
        self._ids: dict[Topic, set[str]] = {topic: set() for topic in Topic}

    def add(self, topic: Topic, request_id: str) -> None:
        """Note one."""
        self._ids[topic].add(request_id)

    def take(self) -> dict[Topic, set[str]]:
        """All of them; none is left."""
        taken, self._ids = self._ids, {topic: set() for topic in Topic}
        return taken

    def put_back(self, taken: dict[Topic, set[str]]) -> None:
        """Note again what was taken: these notices do not come again."""
        for topic, ids in taken.items():
            self._ids[topic] |= ids
