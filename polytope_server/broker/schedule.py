"""Which waiting request runs next: fair to users, within the limits. No I/O.

Each queue is filled on its own, so that one that is full holds up no other. In a queue collections take
turns, and within a collection its users; a user's requests keep their order. Limits are those of the
collection, whatever queues its requests go to. One choice costs the same however many requests wait: a user
at the limit is put aside until a place becomes free.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

from polytope_server.broker.in_order import InOrder
from polytope_server.collection import Collection
from polytope_server.request import Status
from polytope_server.request_store import RequestSummary
from polytope_server.user import User


@dataclass(slots=True)
class _Lane:
    """The waiting requests of one user in one group, and their number."""

    user_id: str
    waiting: InOrder
    count: int = 0
    in_turn: bool = False


@dataclass(slots=True)
class _Group:
    """The waiting requests of a collection for one queue; `turns` holds the lanes that may run something."""

    usage: _Usage
    queue: str
    lanes: dict[str, _Lane] = field(default_factory=dict)
    turns: deque[_Lane] = field(default_factory=deque)
    in_turn: bool = False


@dataclass
class _Usage:
    """The places of one collection that are taken, and its groups by queue."""

    collection: Collection
    groups: dict[str, _Group] = field(default_factory=dict)
    active: int = 0
    by_user: Counter[str] = field(default_factory=Counter)
    queues: dict[str, str] = field(default_factory=dict)

    def queue_of(self, datasource: str) -> str:
        """The queue of requests to that data source."""
        queue = self.queues.get(datasource)
        if queue is None:
            queue = self.queues[datasource] = self.collection.queue_of(datasource)
        return queue

    @property
    def full(self) -> bool:
        total = self.collection.limits.total
        return total is not None and self.active >= total

    def admits(self, summary: RequestSummary) -> bool:
        """Whether the user of a request may have one more active."""
        limit = self.collection.limits.of_user(User("", summary.realm, summary.roles))
        return limit is None or self.by_user[summary.user_id] < limit

    def add(self, user_id: str) -> None:
        self.active += 1
        self.by_user[user_id] += 1

    def subtract(self, user_id: str) -> None:
        self.active -= 1
        self.by_user[user_id] -= 1
        if not self.by_user[user_id]:
            del self.by_user[user_id]


class Schedule:
    """What the broker knows of live requests, and its choice among those that wait."""

    def __init__(self, collections: Mapping[str, Collection]) -> None:
        self._usages = {name: _Usage(collection) for name, collection in collections.items()}
        self._turns: dict[str, deque[_Group]] = {}
        self._waiting: dict[str, RequestSummary] = {}
        self._order = InOrder(self._waiting)
        #: Those that are queued or processing.
        self._active: dict[str, tuple[Status, RequestSummary]] = {}
        self._counts: Counter[tuple[Status, str | None]] = Counter()
        self._by_collection: Counter[tuple[Status, str]] = Counter()

    def count(self, status: Status, queue: str | None = None) -> int:
        """How many requests (of that queue) are known to be in that state."""
        return self._counts[status, queue]

    def count_of(self, status: Status, collection: str) -> int:
        """How many requests of that collection are known to be in that state."""
        return self._by_collection[status, collection]

    def status(self, request_id: str) -> Status | None:
        """The known state of a request."""
        if request_id in self._waiting:
            return Status.WAITING
        known = self._active.get(request_id)
        return known[0] if known else None

    def knows_collection(self, name: str) -> bool:
        """Whether requests of that collection can be scheduled."""
        return name in self._usages

    def queue_of(self, summary: RequestSummary) -> str:
        """The queue that a request goes to. Its collection must be known."""
        return self._usages[summary.collection].queue_of(summary.datasource)

    def waiting(self, after: int, until: int | None) -> Iterator[RequestSummary]:
        """The waiting requests with `after` < sequence <= `until` (None: no end), in order of submission.

        The schedule must not change meanwhile.
        """
        return self._order.between(after, until)

    def boundary(self, after: int, until: int | None, count: int) -> int | None:
        """The sequence of the waiting request number `count` of these, None if there are fewer."""
        found = next(islice(self._order.between(after, until), count - 1, None), None)
        return None if found is None else found.sequence

    def newest(self) -> int:
        """The highest sequence of a waiting request, 0 if none waits."""
        found = self._order.last()
        return 0 if found is None else found.sequence

    def update(self, summaries: Iterable[RequestSummary]) -> None:
        """Take note of requests and their present states. Those of unknown collections are left out."""
        for summary in summaries:
            if summary.collection not in self._usages or (known := self.status(summary.id)) is summary.status:
                continue
            if known is not None:
                self.remove(summary.id)
            self._enter(summary, summary.status)

    def claimed(self, request_id: str) -> None:
        """A worker took a request: it still counts for the limits, but has left the queue."""
        known = self._active.get(request_id)
        if known and known[0] is Status.QUEUED:
            self._active[request_id] = (Status.PROCESSING, known[1])
            self._tally(Status.QUEUED, known[1], -1)
            self._tally(Status.PROCESSING, known[1], 1)

    def remove(self, request_id: str) -> None:
        """A request ended or was removed; users who waited for its place may have a turn."""
        if (summary := self._waiting.pop(request_id, None)) is not None:
            self._leave_lane(summary)
            return
        known = self._active.pop(request_id, None)
        if known is None:
            return
        status, summary = known
        self._tally(status, summary, -1)
        usage = self._usages[summary.collection]
        usage.subtract(summary.user_id)
        for group in usage.groups.values():
            self._give_turn(group, group.lanes.get(summary.user_id))

    def retain_active(self, request_ids: set[str]) -> None:
        """Forget the requests thought to be queued or processing that are not among `request_ids`."""
        for request_id in [key for key in self._active if key not in request_ids]:
            self.remove(request_id)

    def choose(self, rooms: Mapping[str, int]) -> dict[str, str]:
        """The requests to run next, and the queue of each; they count as queued from now on.

        `rooms` says how many each queue has room for.
        """
        chosen: dict[str, str] = {}
        for queue, room in rooms.items():
            turns = self._turns.get(queue)
            while room > 0 and turns:
                group = turns.popleft()
                group.in_turn = False
                if (summary := self._next(group)) is not None:
                    self.remove(summary.id)
                    self._enter(summary, Status.QUEUED)
                    chosen[summary.id] = queue
                    room -= 1
                    self._give_turn(group, group.lanes.get(summary.user_id))
        return chosen

    def _tally(self, status: Status, summary: RequestSummary, change: int) -> None:
        self._counts[status, None] += change
        self._counts[status, self.queue_of(summary)] += change
        self._by_collection[status, summary.collection] += change

    def _enter(self, summary: RequestSummary, status: Status) -> None:
        self._tally(status, summary, 1)
        usage = self._usages[summary.collection]
        if status is not Status.WAITING:
            self._active[summary.id] = (status, summary)
            usage.add(summary.user_id)
            return
        self._waiting[summary.id] = summary
        self._order.add(summary)
        queue = self.queue_of(summary)
        if (group := usage.groups.get(queue)) is None:
            group = usage.groups[queue] = _Group(usage, queue)
        if (lane := group.lanes.get(summary.user_id)) is None:
            lane = group.lanes[summary.user_id] = _Lane(summary.user_id, InOrder(self._waiting))
        lane.waiting.add(summary)
        lane.count += 1
        self._give_turn(group, lane)

    def _leave_lane(self, summary: RequestSummary) -> None:
        """A request no longer waits."""
        self._tally(Status.WAITING, summary, -1)
        self._order.left()
        group = self._usages[summary.collection].groups[self.queue_of(summary)]
        lane = group.lanes[summary.user_id]
        lane.count -= 1
        lane.waiting.left()
        _tidy(group, lane)

    def _give_turn(self, group: _Group, lane: _Lane | None = None) -> None:
        if lane is not None and lane.count and not lane.in_turn:
            lane.in_turn = True
            group.turns.append(lane)
        if group.turns and not group.in_turn and not group.usage.full:
            group.in_turn = True
            self._turns.setdefault(group.queue, deque()).append(group)

    def _next(self, group: _Group) -> RequestSummary | None:
        """The next request of a group; users with nothing to run, or at their limit, step out."""
        while group.turns and not group.usage.full:
            lane = group.turns.popleft()
            lane.in_turn = False
            summary = lane.waiting.first()
            if summary is None:
                _tidy(group, lane)
            elif group.usage.admits(summary):
                return summary
        return None


def _tidy(group: _Group, lane: _Lane) -> None:
    """Forget a user with nothing to run."""
    if not lane.count and not lane.in_turn:
        group.lanes.pop(lane.user_id, None)
