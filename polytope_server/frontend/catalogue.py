"""What a user may know of a collection: enough to write a request without a manual."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from polytope_server.caching import JSON
from polytope_server.collection import Collection
from polytope_server.datasource import CONTENTS
from polytope_server.frontend.questions import Questions
from polytope_server.frontend.refusals import RefusedError
from polytope_server.frontend.source_selection import Source
from polytope_server.language import SourceRules
from polytope_server.language.ranges import is_range
from polytope_server.request import Verb
from polytope_server.roles import has_role
from polytope_server.user import User

#: By `accepts_feature` of a data source.
_SERVES = {True: "features", False: "data", None: "data and features"}


logger = logging.getLogger(__name__)


class Catalogue:
    """Describes collections to users, each as far as they may use it."""

    def __init__(
        self,
        collections: Mapping[str, Collection],
        sources: Mapping[str, Sequence[Source]],
        questions: Questions,
    ) -> None:
        """`sources` are the data sources of each collection by its name."""
        self._collections = collections
        self._sources = sources
        self._questions = questions

    def find(self, name: str, user: User) -> Collection | None:
        """A collection; None if there is none of that name, or the user may not use it."""
        found = self._collections.get(name)
        return found if found is not None and found.admits(user) else None

    async def describe(self, collection: Collection, user: User) -> dict[str, Any]:
        """A collection, its data sources that the user may use, and the limits for that user, as JSON."""
        sources = [
            source
            for source in self._sources[collection.name]
            if not source.rules.roles or has_role(source.rules.roles, user.realm, user.roles)
        ]
        described = await asyncio.gather(*(self._describe_source(collection, one) for one in sources))
        return {
            "name": collection.name,
            **asdict(collection.about),
            "limits": {
                "active_requests": collection.limits.of_user(user),
                "request_bytes": collection.max_request,
            },
            "datasources": list(described),
        }

    async def _describe_source(self, collection: Collection, source: Source) -> dict[str, Any]:
        rules, config = source.rules, source.config
        verbs = [Verb.RETRIEVE, Verb.ARCHIVE] if source.archives else [Verb.RETRIEVE]
        return {
            "name": config.label,
            "type": config.type,
            "verbs": [str(verb) for verb in verbs],
            "serves": _SERVES[rules.accepts_feature],
            "match": dict(rules.match),
            "defaults": dict(rules.defaults),
            "patch": dict(rules.patch),
            "schedule": source.schedule is not None,
            **source.description,
            "contents": await self._ask_contents(collection, source),
        }

    async def _ask_contents(self, collection: Collection, source: Source) -> JSON:
        """What is there, None if the data source does not know, or not in time."""
        try:
            return await self._questions.ask(
                collection.name, source.config, CONTENTS, _find_fixed(source.rules)
            )
        except RefusedError as error:
            name = f"{source.config.name} of collection {collection.name}"
            logger.warning("data source %s cannot say what it has: %s", name, error)
            return None


def _find_fixed(rules: SourceRules) -> dict[str, Any]:
    """The keys that the rules fix, as a request has them; none whose rule is more than a list or a range."""
    found: dict[str, Any] = {}
    for key, rule in (*rules.match.items(), *rules.patch.items()):
        name = str(key).lower()
        values = [str(value) for value in rule] if isinstance(rule, list | tuple) else [str(rule)]
        if values and name != "date" and (len(values) == 1 or not any(map(is_range, values))):
            found[rules.aliases.get(name, name)] = values
    return found
