"""The keys of a feature: each is read once, and what is wrong is gathered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from polytope_server.features.values import suggest
from polytope_server.language import RequestError
from polytope_server.language.errors import MAX_PROBLEMS, shown

T = TypeVar("T")
Read = Callable[[Any], T]


class Keys:
    """Keys in any case, and their values. `end` raises RequestError with all problems."""

    def __init__(self, given: Mapping[Any, Any]) -> None:
        self._given: dict[str, Any] = {}
        self._problems: list[str] = []
        self._known: set[str] = set()
        for name, value in given.items():
            key = str(name).strip().lower()
            if key in self._given:
                self._problems.append(f"key {shown(key)} is given twice; give it once")
            self._given[key] = value

    def require(self, name: str, read: Read[T], *others: str) -> T:
        """The value of a key. Where it is missing or wrong the result means nothing, and `end` raises.

        `others` are other names of the key.
        """
        key = self._find(name, others)
        if key is None:
            self._problems.append(f"key '{name}' is missing")
        return cast(T, None) if key is None else self._read(key, read)

    def take(self, name: str, read: Read[T], default: T, *others: str) -> T:
        """The same for a key that may be absent."""
        key = self._find(name, others)
        return default if key is None else self._read(key, read)

    def complain(self, problem: str) -> None:
        """Note what is wrong with keys together."""
        self._problems.append(problem)

    def end(self) -> None:
        """Raise RequestError for what was wrong, and for keys that no one has asked for."""
        unknown = [key for key in self._given if key not in self._known]
        self._problems += [
            f"key {shown(key)} is not known; {suggest(key, sorted(self._known))}"
            for key in unknown[:MAX_PROBLEMS]
        ]
        self._problems += [f"key {shown(key)} is not known" for key in unknown[MAX_PROBLEMS:]]
        self.raise_problems()

    def raise_problems(self) -> None:
        """Raise RequestError for what was wrong so far."""
        if self._problems:
            raise RequestError(*self._problems)

    def _find(self, name: str, others: tuple[str, ...]) -> str | None:
        """By which of its names a key is there."""
        self._known.update((name, *others))
        found = [key for key in (name, *others) if key in self._given]
        if len(found) > 1:
            self._problems.append(f"keys {' and '.join(found)} mean the same; give one of them")
        return found[0] if found else None

    def _read(self, key: str, read: Read[T]) -> T:
        try:
            return read(self._given[key])
        except RequestError as error:
            self._problems += [f"key '{key}': {problem}" for problem in error.problems]
            return cast(T, None)
