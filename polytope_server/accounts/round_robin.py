"""Two levels of round robin: between sources, and between the streams of each source.

One source with a thousand streams gets no more than a source with one, and one stream with a thousand items
delays the other streams of its source by one item at a time.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class RoundRobin(Generic[T]):
    """Items in line, by source and stream. Its length is the number of items."""

    def __init__(self) -> None:
        # In the order in which they are served; neither a source nor a stream is empty.
        self._sources: dict[str, dict[str, deque[T]]] = {}
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def add(self, source: str, stream: str, item: T) -> None:
        """Put an item at the end of its stream. A new stream, or source, is served last."""
        streams = self._sources.setdefault(source, {})
        streams.setdefault(stream, deque()).append(item)
        self._length += 1

    def take(self) -> T | None:
        """The first item of the stream and source whose turn it is; both go to the end of the line."""
        if not self._sources:
            return None
        source, streams = next(iter(self._sources.items()))
        stream, items = next(iter(streams.items()))
        item = items.popleft()
        self._length -= 1
        del streams[stream]
        if items:
            streams[stream] = items
        del self._sources[source]
        if streams:
            self._sources[source] = streams
        return item

    def drop_from_longest(self) -> T | None:
        """The last item of the longest stream of the source with most items."""
        if not self._sources:
            return None
        source = max(self._sources, key=lambda one: sum(map(len, self._sources[one].values())))
        streams = self._sources[source]
        stream = max(streams, key=lambda one: len(streams[one]))
        item = streams[stream].pop()
        self._length -= 1
        if not streams[stream]:
            del streams[stream]
        if not streams:
            del self._sources[source]
        return item
