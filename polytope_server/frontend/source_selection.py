"""Which data source of a collection serves a request: the first that can, and whose rules take it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from polytope_server.collection import Collection, DataSourceConfig
from polytope_server.datasource import DataSourceError, RequestCheck
from polytope_server.frontend.refusals import refuse_draft
from polytope_server.language import (
    MAX_VALUES,
    CoercionRules,
    Judgement,
    RequestError,
    SourceRules,
    TooManyValuesError,
    coerce,
    parse,
)
from polytope_server.request import Verb
from polytope_server.schedule.file import ScheduleFile
from polytope_server.texts import encodable
from polytope_server.user import User


@dataclass(frozen=True)
class Source:
    """A data source as the frontend sees it: what it accepts, whether it archives, what it needs of users.

    `check` finds what is wrong with a request that the rules admit. `schedule` says which data are not
    released yet. `description` is what users should know before they write a request.
    """

    config: DataSourceConfig
    rules: SourceRules
    archives: bool
    attributes: frozenset[str] = frozenset()
    check: RequestCheck | None = None
    schedule: ScheduleFile | None = None
    description: Mapping[str, Any] = field(default_factory=dict)

    def embargo(self, request: Mapping[str, Any], verb: Verb, now: datetime) -> str | None:
        """Why a request that the rules admit is held back, None if it is not."""
        if self.schedule is None or verb is not Verb.RETRIEVE:
            return None
        return self.schedule.current().embargo(request, now)

    def check_request(self, request: Mapping[str, Any], verb: Verb) -> None:
        """Raises RefusedError with the reason for what the data source could only fail."""
        try:
            if self.check is not None:
                self.check(request, verb)
        except DataSourceError as error:
            refuse_draft(encodable(str(error)))


def _utc_now() -> datetime:
    return datetime.now(UTC)


class SourceSelection:
    """Selects among the data sources of all collections."""

    def __init__(
        self,
        sources: Mapping[str, Sequence[Source]],
        coercion: CoercionRules,
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        """`sources` are those of each collection by its name, in the order in which they are tried.

        `clock` is the time in UTC, by which relative dates, rules for dates and releases are judged.
        """
        self._sources = sources
        self._coercion = coercion
        self._clock = clock

    def able_to(self, verb: Verb, collection: Collection) -> Sequence[Source]:
        """The data sources of a collection that can do what the verb says.

        Raises RefusedError if none can.
        """
        sources = self._sources[collection.name]
        able = [source for source in sources if source.archives] if verb is Verb.ARCHIVE else sources
        if not able:
            refuse_draft(f"Transfer type {verb} not supported")
        return able

    def select(
        self, sources: Sequence[Source], user: User, text: str, verb: Verb, comparisons: int
    ) -> tuple[Source, dict[str, Any]]:
        """The first of the data sources that takes the request, and the request as it gets it.

        Raises RefusedError with the reason of each if none does, and TooManyValuesError if it takes more than
        `comparisons`, and these are not all that any request may take.
        """
        reasons: dict[str, list[str]] = {}
        # Once: at midnight "today" would change between the request and the rules.
        now = self._clock()
        try:
            judgement = Judgement(
                coerce(parse(text), self._coercion, today=now.date()),
                realm=user.realm,
                user_roles=user.roles,
                coercion=self._coercion,
                now=now,
                comparisons=comparisons,
            )
            for source in sources:
                result = judgement.match(source.rules)
                reason = result.reason
                if result.request is not None:
                    reason = source.embargo(result.request, verb, now) or ""
                    if not reason:
                        return source, result.request
                reasons.setdefault(reason, []).append(source.config.label)
        except RequestError as error:
            if isinstance(error, TooManyValuesError) and comparisons < MAX_VALUES:
                raise
            refuse_draft(encodable(str(error)))
        # A reason that several data sources have is given once.
        lines = "\n".join(f"Skipping datasource {', '.join(names)}: {why}" for why, names in reasons.items())
        refuse_draft(encodable(f"No matching datasource found for request:\n{lines}"))
