"""What an object store counts."""

from __future__ import annotations

from polytope_server.http.connections import REASONS
from polytope_server.runtime.management.metrics import Metrics


class StoreMetrics(Metrics):
    """The metrics of an object store."""

    def __init__(self) -> None:
        super().__init__("object-store")
        #: Bytes that were read.
        self.sent = self.counter("object_store_sent_bytes", "Bytes of objects that were sent.")
        #: Bytes of objects that are complete.
        self.received = self.counter("object_store_received_bytes", "Bytes of objects that were stored.")
        #: By reason.
        self.cut = self.connections_cut(REASONS)
