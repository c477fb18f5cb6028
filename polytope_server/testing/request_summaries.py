"""What every request store promises to the broker: a part of the contract of request stores."""

from __future__ import annotations

from polytope_server.request import LIVE, Status
from polytope_server.request_store import Digest, RequestStore, RequestSummary
from polytope_server.testing.requests import ALICE, BOB, make


class SummaryContract:
    """The contract tests."""

    async def test_summaries_hold_what_the_broker_needs(self, store: RequestStore) -> None:
        request, other = make(not_before=5.0, datasource="d"), make(BOB, status=Status.UPLOADING)
        for stored in (request, other):
            await store.add(stored)
        (summary,) = await store.summaries({Status.WAITING}, [request.id])
        assert summary.datasource == "d"
        assert (summary.id, summary.collection, summary.user_id) == (request.id, "c", ALICE.id)
        assert (summary.realm, summary.roles) == ("testrealm", ("default", "member"))
        assert (summary.status, summary.attempt, summary.not_before) == (Status.WAITING, 0, 5.0)
        both = await store.summaries(LIVE, [other.id, "unknown"])
        assert [found.id for found in both] == [other.id]

    async def test_slices_of_what_waits_join_without_a_gap_or_an_overlap(self, store: RequestStore) -> None:
        requests = [make(status=status) for status in [Status.WAITING, Status.PROCESSED] * 7]
        for request in requests:
            await store.add(request)
        found: list[RequestSummary] = []
        while part := await store.waiting(found[-1].sequence if found else 0, None, 3):
            assert len(part) <= 3
            found += part
        assert [summary.id for summary in found] == [request.id for request in requests[::2]]
        sequences = [summary.sequence for summary in found]
        assert sequences == sorted(set(sequences))
        assert sequences[0] > 0
        middle = await store.waiting(sequences[1], sequences[4], 100)
        assert [summary.sequence for summary in middle] == sequences[2:5]
        both = await store.summaries([Status.WAITING], [requests[2].id, requests[0].id])
        assert both == found[:2]

    async def test_slices_of_what_is_active_hold_queued_and_processing_requests(
        self, store: RequestStore
    ) -> None:
        states = [Status.QUEUED, Status.WAITING, Status.PROCESSING, Status.FAILED, Status.QUEUED]
        requests = [make(status=status) for status in states]
        for request in requests:
            await store.add(request)
        first = await store.active(0, 2)
        assert [summary.status for summary in first] == [Status.QUEUED, Status.PROCESSING][: len(first)]
        found = [*first, *await store.active(first[-1].sequence, 9)]
        assert [summary.id for summary in found] == [requests[number].id for number in (0, 2, 4)]
        assert await store.active(found[-1].sequence, 9) == []

    async def test_the_digest_is_that_of_the_waiting_requests_in_a_range(self, store: RequestStore) -> None:
        for status in [Status.WAITING, Status.QUEUED, Status.WAITING, Status.WAITING, Status.WAITING]:
            await store.add(make(status=status))
        sequences = [summary.sequence for summary in await store.waiting(0, None, 9)]
        assert await store.digest(0, sequences[-1], 9) == Digest.of(sequences)
        assert await store.digest(sequences[0], sequences[2], 9) == Digest.of(sequences[1:3])
        assert await store.digest(0, sequences[-1], 2) == Digest.of(sequences[:2])
        assert await store.digest(sequences[-1], sequences[-1] + 9, 9) == Digest.of([]) == Digest()
