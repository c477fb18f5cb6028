"""Mistakes in a configuration: each with its file, its key, its value, and what is accepted."""

from __future__ import annotations

import difflib
import re
import types
import typing
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel, SecretBytes, SecretStr, TypeAdapter, ValidationError

from polytope_server.redaction import MASK, is_secret
from polytope_server.settings.masking import mask_value, typed_secrets
from polytope_server.settings.nodes import Key, Location, Node, Origin
from polytope_server.texts import clipped

_LONGEST_VALUE = 80
#: From 0 to 1. With the library's own 0.6, "admin" was offered for "minio".
_LEAST_LIKENESS = 0.65
#: pydantic's words for what is accepted, in those of YAML.
_WORDING = tuple(
    (re.compile(pydantics), ours)
    for pydantics, ours in (
        ("^Input should (?:be )?", "expected "),
        ("a valid dictionary(?: or instance of \\w+)?", "a mapping"),
        ("a valid string", "a text"),
        ("a valid integer", "a whole number"),
        ("a valid boolean", "true or false"),
        ("a valid (list|number)", r"a \1"),
        (", unable to .*", ""),
        ("^String should match pattern", "expected a text like"),
    )
)
#: The end of the description of each key that is accepted and does nothing.
NO_EFFECT = "no effect."


class ConfigurationError(ValueError):
    """The configuration is not usable. `problems` is everything that is wrong, one line each."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(dict.fromkeys(problems))
        super().__init__("\n".join(self.problems))


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a key, or worth a warning; as text it is one line.

    `origin` is where the key was written or, if it is missing, the section that lacks it; `below` is then the
    rest of its path. `text` is the mistake, and `value` the wrong value as it is shown; empty if it is not.
    """

    origin: Origin
    text: str
    below: Location = ()
    value: str = ""

    def __str__(self) -> str:
        value = f"value {self.value}" if self.value else ""
        # Line breaks within the text would look like further problems.
        text = " ".join(self.text.split())
        parts = (str(self.origin), dotted((*self.origin.path, *self.below)), value, text)
        return ": ".join(part for part in parts if part)


class Report:
    """Collects problems and warnings, so that the operator sees all of them at once."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.warnings: list[str] = []
        #: By section: what only processes that authenticate callers by it refuse.
        self.refusals: dict[str, list[str]] = {}
        #: Of what was validated: the values of keys whose type says that they are secret.
        self.secrets: set[str] = set()

    def problem(self, node: Node, text: str, *below: Key) -> None:
        """Note what is wrong with the node, or with a key below it that is missing."""
        self.problems.append(str(Problem(node.origin, text, below)))

    def warn(self, node: Node, text: str) -> None:
        """Note what is accepted, and is perhaps not what the operator wants."""
        self.warnings.append(str(Problem(node.origin, text)))

    def refuse(self, node: Node, text: str) -> None:
        """Note what those processes refuse that authenticate callers by this section."""
        section = str(next(iter(node.origin.path), ""))
        self.refusals.setdefault(section, []).append(str(Problem(node.origin, text)))

    def validated(self, kind: Any, node: Node, known: Collection[str] = (), partial: bool = False) -> Any:
        """The node as an instance of `kind` (a model, or any type); None if it is wrong: that is noted.

        `known` are further names of keys that a typo may stand for. A `partial` node may lack keys.
        """
        adapter = TypeAdapter(kind)
        try:
            found = adapter.validate_python(node.plain())
            self.secrets.update(typed_secrets(found))
            return found
        except ValidationError as error:
            details = [
                detail
                for detail in error.errors(include_url=False)
                if not (partial and detail["type"] == "missing")
            ]
        self.problems.extend(
            map(str, _join_alternatives(_explain(detail, kind, node, known) for detail in details))
        )
        return None

    def note_idle_keys(self, kind: Any, node: Node) -> None:
        """Warn of each key that is accepted and does nothing."""
        for key, child in node.children():
            inner = _field_below(kind, key)
            if (inner is None and _takes_any(kind)) or str(getattr(inner, "description", "")).endswith(
                NO_EFFECT
            ):
                self.warn(child, NO_EFFECT.rstrip("."))
            elif inner is not None:
                self.note_idle_keys(inner, child)


def dotted(path: Iterable[Key]) -> str:
    """A path of keys as `a.b[0].c`."""
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path)
    return text.removeprefix(".")


def shown(path: Iterable[Key], value: Any) -> str:
    """A value for a message: short, and without secrets. What is in a list or a mapping is not shown."""
    if isinstance(value, dict | list):
        return "{...}" if isinstance(value, dict) else "[...]"
    return clipped(repr(mask_value(value, any(is_secret(key) for key in path))), _LONGEST_VALUE)


def suggestion(name: str, known: Iterable[str]) -> str:
    """What a name that is not known may mean."""
    names = list(known)
    near = _find_near(name, names)
    return f"did you mean '{near}'?" if near else f"known: {', '.join(names) or 'none'}"


def _find_near(name: str, known: Iterable[str]) -> str | None:
    return next(iter(difflib.get_close_matches(name, list(known), 1, _LEAST_LIKENESS)), None)


def keys_of(kind: Any) -> list[str]:
    """The keys that a section of this type takes, as they are written."""
    models = [item for item in _alternatives(kind) if _is_model(item)]
    return [field.alias or name for model in models for name, field in model.model_fields.items()]


def _join_alternatives(problems: Iterable[Problem]) -> Iterator[Problem]:
    """One problem for each place: what its alternatives accept is joined."""
    texts: dict[Problem, dict[str, None]] = {}
    for problem in problems:
        texts.setdefault(replace(problem, text=""), {})[problem.text] = None
    return (replace(place, text=", or ".join(found)) for place, found in texts.items())


def _explain(detail: Any, kind: Any, root: Node, known: Collection[str]) -> Problem:
    """A mistake that pydantic found, in the words of this configuration."""
    location: Location = detail["loc"]
    node, field = root.nearest(location), _find_field(kind, location)
    if detail["type"] == "missing":
        description = getattr(field, "description", None) or "a value"
        return Problem(root.nearest(location[:-1]).origin, f"is missing: {description}", location[-1:])
    if detail["type"] == "extra_forbidden":
        return _explain_typo(
            node, [*keys_of(_find_field(kind, location[:-1])), *(known if len(location) == 1 else ())]
        )
    if detail["type"] == "invalid_key" or location[-1:] == ("[key]",):
        return Problem(node.origin, "the key is not a text; write it in quotes")
    return _explain_value(node, field, str(detail["msg"]))


def _explain_typo(node: Node, names: Collection[str]) -> Problem:
    name = str(node.origin.path[-1])
    # What stands under an unknown name may be a secret, unless the name is near to that of something else.
    near = _find_near(name, names)
    value = shown(node.origin.path, node.plain()) if near and not is_secret(near) else ""
    return Problem(node.origin, f"unknown key; {suggestion(name, names)}", value=value)


def _explain_value(node: Node, field: Any, message: str) -> Problem:
    value, text = node.plain(), message.removeprefix("Value error, ")
    by_type = any(item in (SecretStr, SecretBytes) for item in _alternatives(field))
    if (by_type or any(is_secret(key) for key in node.origin.path)) and value not in ("", None):
        text = text.replace(str(value), MASK)
    for pydantics, ours in _WORDING:
        text = pydantics.sub(ours, text)
    return Problem(node.origin, text, value=repr(MASK) if by_type else shown(node.origin.path, value))


def _find_field(kind: Any, location: Location) -> Any:
    """The field or type at a location, with what is not there left out, as in :meth:`Node.nearest`."""
    for key in location:
        kind = _field_below(kind, key) or kind
    return kind


def _field_below(kind: Any, key: Any) -> Any:
    """The field or type of a key of a section, or of the values of a mapping or list; None if it has none."""
    for item in _alternatives(kind):
        if _is_model(item):
            for name, field in item.model_fields.items():
                if key in (name, field.alias):
                    return field
        elif typing.get_origin(item) is (list if isinstance(key, int) else dict):
            return typing.get_args(item)[-1]
    return None


def _alternatives(kind: Any) -> list[Any]:
    """The types that a field or type may be, without what annotates them."""
    kind = getattr(kind, "annotation", kind)
    if typing.get_origin(kind) is typing.Annotated:
        return _alternatives(typing.get_args(kind)[0])
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return [inner for item in typing.get_args(kind) for inner in _alternatives(item)]
    return [kind]


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and not isinstance(kind, types.GenericAlias) and issubclass(kind, BaseModel)


def _takes_any(kind: Any) -> bool:
    return any(_is_model(item) and item.model_config.get("extra") == "allow" for item in _alternatives(kind))
