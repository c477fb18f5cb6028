"""What a garbage collector counts."""

from __future__ import annotations

from polytope_server.runtime.management.metrics import Metrics


class CollectorMetrics(Metrics):
    """The metrics of a garbage collector."""

    def __init__(self) -> None:
        super().__init__("garbage-collector")
        self.requests = self.counter("garbage_requests_removed", "Requests that were removed.")
        self._objects = self.counter("garbage_objects_removed", "Objects of the staging that were removed.")
        self._bytes = self.counter("garbage_bytes_removed", "Bytes of objects whose size was known.")
        self.unfinished = self.counter("garbage_unfinished_removed", "Leftovers of unfinished writes.")
        self.objects_found = self.gauge("staging_objects", "Objects of the staging, found by the last pass.")
        self.bytes_found = self.gauge("staging_bytes", "Bytes of the staging, found by the last pass.")
        self.orphans_found = self.gauge(
            "staging_orphans", "Objects that belong to no request, found by the last pass."
        )
        self.stopped = self.gauge(
            "garbage_stopped", "1 if the last pass removed no orphans because there were too many, else 0."
        )
        self.succeeded = self.gauge(
            "garbage_last_success_timestamp_seconds", "When the last pass ended in which no step failed."
        )

    def surveyed(self, objects: int, size: int, orphans: int, *, stopped: bool) -> None:
        """Set how many objects, bytes and orphans the staging has; `stopped` if none of these is removed."""
        self.objects_found.set(objects)
        self.bytes_found.set(size)
        self.orphans_found.set(orphans)
        self.stopped.set(stopped)

    def removed(self, objects: int, size: int) -> None:
        """Count objects that were removed, and their bytes together."""
        self._objects.inc(objects)
        self._bytes.inc(size)
