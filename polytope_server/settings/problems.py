"""Mistakes in a configuration, told with file, key, value, and what is accepted."""

from __future__ import annotations

import difflib
import re
import types
import typing
from collections.abc import Collection, Iterable
from typing import Any

from pydantic import BaseModel, SecretBytes, SecretStr, TypeAdapter, ValidationError

from polytope_server.redaction import MASK, is_secret
from polytope_server.settings.masking import mask_value, typed_secrets
from polytope_server.settings.nodes import Key, Location, Node, Origin
from polytope_server.texts import clipped

_LONGEST_VALUE = 80
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
#: How the description of a key ends that is accepted and does nothing.
NO_EFFECT = "no effect."


class ConfigurationError(ValueError):
    """The configuration is not usable. `problems` are all that is wrong, one line each; so is the text."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(dict.fromkeys(problems))
        super().__init__("\n".join(self.problems))


class Report:
    """Collects problems and warnings, so that all of them can be told at once."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.warnings: list[str] = []
        #: The values of keys that are secret by their type, of what was validated.
        self.secrets: set[str] = set()

    def problem(self, node: Node, text: str, *below: Key) -> None:
        """Something is wrong with the node, or with a key below it that is not there."""
        self.problems.append(told(node.origin, below, text))

    def warn(self, node: Node, text: str) -> None:
        """Something about the node is accepted, but perhaps not what the operator wants."""
        self.warnings.append(told(node.origin, (), text))

    def validated(self, kind: Any, node: Node, known: Collection[str] = (), partial: bool = False) -> Any:
        """The node as an instance of `kind` (a model, or any type), or None, and the problems are noted.

        `known` are names of keys beside those of the model that may be meant by a typo. That keys are
        missing is no problem of a `partial` one.
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
        self.problems.extend(_explained(details, kind, node, known))
        return None

    def note_idle_keys(self, kind: Any, node: Node) -> None:
        """Warn of each key that is accepted and does nothing."""
        for key, child in node.children():
            inner = _inside(kind, key)
            if (inner is None and _takes_any(kind)) or str(getattr(inner, "description", "")).endswith(
                NO_EFFECT
            ):
                self.warn(child, NO_EFFECT.rstrip("."))
            elif inner is not None:
                self.note_idle_keys(inner, child)


def told(origin: Origin, below: Location, text: str) -> str:
    """One line: where, which key, what. Line breaks within the text would look like further problems."""
    path = dotted((*origin.path, *below))
    return ": ".join(part for part in (str(origin), path, " ".join(text.split())) if part)


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
    near = _near(name, names)
    return f"did you mean '{near}'?" if near else f"known: {', '.join(names) or 'none'}"


def _near(name: str, known: Iterable[str]) -> str | None:
    return next(iter(difflib.get_close_matches(name, list(known), 1)), None)


def keys_of(kind: Any) -> list[str]:
    """The keys that a section of this type takes, as they are written."""
    models = [item for item in _alternatives(kind) if _is_model(item)]
    return [field.alias or name for model in models for name, field in model.model_fields.items()]


def _explained(details: list[Any], kind: Any, root: Node, known: Collection[str]) -> list[str]:
    """A line for each place; what its alternatives accept is joined."""
    found: dict[tuple[Origin, Location, str], list[str]] = {}
    for detail in details:
        origin, below, value, text = _explanation(detail, kind, root, known)
        texts = found.setdefault((origin, below, value), [])
        if text not in texts:
            texts.append(text)
    return [told(*place[:2], f"{place[2]}{', or '.join(texts)}") for place, texts in found.items()]


def _explanation(
    detail: Any, kind: Any, root: Node, known: Collection[str]
) -> tuple[Origin, Location, str, str]:
    location: Location = detail["loc"]
    node = root.nearest(location)
    if detail["type"] == "missing":
        parent = root.nearest(location[:-1])
        description = getattr(_at(kind, location), "description", None) or "a value"
        return parent.origin, location[-1:], "", f"is missing: {description}"
    if detail["type"] == "extra_forbidden":
        names = [*keys_of(_at(kind, location[:-1])), *(known if len(location) == 1 else ())]
        return node.origin, (), _value_of_typo(node, names), f"unknown key; {_meant(node, names)}"
    if detail["type"] == "invalid_key" or location[-1:] == ("[key]",):
        return node.origin, (), "", "the key is not a text; write it in quotes"
    value, text = node.plain(), str(detail["msg"]).removeprefix("Value error, ")
    by_type = any(item in (SecretStr, SecretBytes) for item in _alternatives(_at(kind, location)))
    if (by_type or any(is_secret(key) for key in node.origin.path)) and value not in ("", None):
        text = text.replace(str(value), MASK)
    for pydantics, ours in _WORDING:
        text = pydantics.sub(ours, text)
    told_value = repr(MASK) if by_type else shown(node.origin.path, value)
    return node.origin, (), f"value {told_value}: ", text


def _meant(node: Node, names: Collection[str]) -> str:
    return suggestion(str(node.origin.path[-1]), names)


def _value_of_typo(node: Node, names: Collection[str]) -> str:
    # What stands under an unknown name may be a secret, unless the name is near to that of something else.
    near = _near(str(node.origin.path[-1]), names)
    return f"value {shown(node.origin.path, node.plain())}: " if near and not is_secret(near) else ""


def _at(kind: Any, location: Location) -> Any:
    """The field or type at a location, with what is not there left out, as in :meth:`Node.nearest`."""
    for key in location:
        kind = _inside(kind, key) or kind
    return kind


def _inside(kind: Any, key: Any) -> Any:
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
