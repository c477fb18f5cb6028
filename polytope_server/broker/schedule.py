"""Which waiting request runs next: fair to users, within the limits. No I/O.

Collections take turns, and within a collection its users; a user's requests keep their order. One choice
costs the same however many requests wait: a user at the limit is put aside until a place becomes free.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from polytope_server.collection import Collection
from polytope_server.request import Status
from polytope_server.request_store import Sketch
from polytope_server.user import User


@dataclass
class _Lane:
    """The requests of one user in one collection."""

    user_id: str
    waiting: OrderedDict[str, Sketch] = field(default_factory=OrderedDict)
    active: int = 0
    in_turn: bool = False


@dataclass
class _Group:
    """The users of one collection; `turns` holds the lanes that may have something to run."""

    collection: Collection
    lanes: dict[str, _Lane] = field(default_factory=dict)
    turns: deque[_Lane] = field(default_factory=deque)
    active: int = 0
    in_turn: bool = False

    @property
    def full(self) -> bool:
        total = self.collection.limits.total
        return total is not None and self.active >= total


class Schedule:
    """What the broker knows of live requests, and its choice among those that wait."""

    def __init__(self, collections: Mapping[str, Collection]) -> None:
        self._groups = {name: _Group(collection) for name, collection in collections.items()}
        self._turns: deque[_Group] = deque()
        self._states: dict[str, tuple[Status, Sketch]] = {}
        self._counts = {Status.WAITING: 0, Status.QUEUED: 0, Status.PROCESSING: 0}

    def count(self, status: Status) -> int:
        """How many requests are known to be in that state."""
        return self._counts[status]

    def status(self, request_id: str) -> Status | None:
        """The known state of a request."""
        known = self._states.get(request_id)
        return known[0] if known else None

    def knows_collection(self, name: str) -> bool:
        """Whether requests of that collection can be scheduled."""
        return name in self._groups

    def update(self, sketches: Iterable[Sketch]) -> None:
        """Take note of requests and their present states. Those of unknown collections are left out."""
        for sketch in sketches:
            if sketch.collection in self._groups and self.status(sketch.id) is not sketch.status:
                self.remove(sketch.id)
                self._enter(sketch, sketch.status)

    def claimed(self, request_id: str) -> None:
        """A worker took a request: it still counts for the limits, but has left the queue."""
        known = self._states.get(request_id)
        if known and known[0] is Status.QUEUED:
            self._states[request_id] = (Status.PROCESSING, known[1])
            self._counts[Status.QUEUED] -= 1
            self._counts[Status.PROCESSING] += 1

    def remove(self, request_id: str) -> None:
        """A request ended or was removed; whoever waited for its place may have a turn."""
        known = self._states.pop(request_id, None)
        if known is None:
            return
        status, sketch = known
        self._counts[status] -= 1
        group = self._groups[sketch.collection]
        lane = group.lanes[sketch.user_id]
        if status is Status.WAITING:
            lane.waiting.pop(request_id, None)
        else:
            group.active -= 1
            lane.active -= 1
            self._give_turn(group, lane)
        if not lane.waiting and not lane.active and not lane.in_turn:
            del group.lanes[sketch.user_id]

    def retain(self, request_ids: set[str], status: Status) -> None:
        """Forget the requests thought to be in that state that are not among `request_ids`."""
        gone = [key for key, (known, _) in self._states.items() if known is status and key not in request_ids]
        for request_id in gone:
            self.remove(request_id)

    def choose(self, room: int) -> list[str]:
        """The requests to run next, at most `room`; they count as queued from now on."""
        chosen: list[str] = []
        while len(chosen) < room and self._turns:
            group = self._turns.popleft()
            group.in_turn = False
            if (sketch := self._next(group)) is not None:
                self.remove(sketch.id)
                self._enter(sketch, Status.QUEUED)
                chosen.append(sketch.id)
                self._give_turn(group)
        return chosen

    def _enter(self, sketch: Sketch, status: Status) -> None:
        self._states[sketch.id] = (status, sketch)
        self._counts[status] += 1
        group = self._groups[sketch.collection]
        lane = group.lanes.setdefault(sketch.user_id, _Lane(sketch.user_id))
        if status is Status.WAITING:
            lane.waiting[sketch.id] = sketch
            self._give_turn(group, lane)
        else:
            group.active += 1
            lane.active += 1

    def _give_turn(self, group: _Group, lane: _Lane | None = None) -> None:
        if lane is not None and lane.waiting and not lane.in_turn:
            lane.in_turn = True
            group.turns.append(lane)
        if group.turns and not group.in_turn and not group.full:
            group.in_turn = True
            self._turns.append(group)

    def _next(self, group: _Group) -> Sketch | None:
        """The next request of a collection; users with nothing to run, or at their limit, step out."""
        while group.turns and not group.full:
            lane = group.turns.popleft()
            lane.in_turn = False
            if not lane.waiting:
                if not lane.active:
                    group.lanes.pop(lane.user_id, None)
                continue
            if self._within_limit(group, lane):
                _, sketch = lane.waiting.popitem(last=False)
                self._give_turn(group, lane)
                return sketch
        return None

    @staticmethod
    def _within_limit(group: _Group, lane: _Lane) -> bool:
        sketch = next(iter(lane.waiting.values()))
        user = User("", sketch.realm, sketch.roles)
        limit = group.collection.limits.of_user(user)
        return limit is None or lane.active < limit
