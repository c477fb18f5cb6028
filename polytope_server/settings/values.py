"""The kinds of values that keys of the configuration take."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, WithJsonSchema, WrapValidator

_DURATION = re.compile(
    r"(?:(\d+(?:\.\d+)?)d)?(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?"
)
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)
_FACTORS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_NO_DURATION = "a duration is a number of seconds or a text such as '60s', '24h', '1d12h'"
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


def parse_duration(value: Any) -> float:
    """Seconds of a duration such as `90`, `"60s"`, `"24h"` or `"1d12h"`. Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(_NO_DURATION)
    text = str(value).strip()
    try:
        seconds = float(text)
    except ValueError:
        found = _DURATION.fullmatch(text)
        if not found or not text:
            raise ValueError(_NO_DURATION) from None
        days, hours, minutes, rest = (float(part or 0) for part in found.groups())
        seconds = ((days * 24 + hours) * 60 + minutes) * 60 + rest
    if not 0 <= seconds < 1e12:
        raise ValueError("a duration must be 0 or more, and finite")
    return seconds


def parse_size(value: Any) -> int:
    """Bytes of a size such as `1024`, `"10G"`, `"1.5G"` or `"10GB"` (powers of 1024). Raises ValueError."""
    found = None if isinstance(value, bool) else _SIZE.fullmatch(str(value).strip())
    if not found:
        raise ValueError("a size is a number of bytes or a text such as '512K', '10M', '1.5G', '1T'")
    return int(float(found[1]) * _FACTORS[found[2].upper()])


def chosen(section: Mapping[str, Any]) -> dict[str, Any]:
    """The back-ends that a section names: null beside another one removes a back-end.

    `none` means no back-end, as in earlier servers; null alone means a back-end without keys.
    """
    named = {name: keys for name, keys in section.items() if name != "none"}
    return {name: keys for name, keys in named.items() if keys is not None} or {name: {} for name in named}


def expected(what: str) -> WrapValidator:
    """One sentence for whatever is wrong with a value, instead of one for each alternative."""

    def check(value: Any, inner: Callable[[Any], Any]) -> Any:
        try:
            return inner(value)
        except ValidationError:
            raise ValueError(f"expected {what}") from None

    return WrapValidator(check)


def _level(value: str) -> str:
    if value.upper() not in LEVELS:
        raise ValueError(f"expected one of {', '.join(LEVELS)}")
    return value


def _with_kind(kind: str, *types: dict[str, Any]) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": list(types), "x-kind": kind})


_NUMBER, _TEXT = {"type": "number", "minimum": 0}, {"type": "string"}

Duration = Annotated[float, BeforeValidator(parse_duration), _with_kind("duration", _NUMBER, _TEXT)]
Size = Annotated[int, BeforeValidator(parse_size), _with_kind("size", _NUMBER, _TEXT)]
RequestSize = Annotated[Size, Field(ge=1)]
#: Memory of a child of the worker, which needs some for itself.
MemorySize = Annotated[
    Literal["unlimited"] | Annotated[Size, Field(ge=256 << 20)],
    expected("unlimited, or a size of 256M or more"),
    _with_kind("size or `unlimited`", _NUMBER, _TEXT),
]
Port = Annotated[
    int,
    Field(ge=0, le=65535),
    _with_kind(
        "port",
        {"type": "integer", "minimum": 0, "maximum": 65535},
        {"type": "string", "pattern": r"^\d+$|\$"},
    ),
]
Level = Annotated[str, AfterValidator(_level)]
Count = Annotated[int, Field(ge=0)]
#: A limit of the requests of one user.
UserCount = Annotated[
    Annotated[int, Field(ge=0)] | Literal["none", "unlimited"],
    expected("a whole number, none or unlimited"),
    _with_kind("whole number, `none` or `unlimited`", {"type": "integer", "minimum": 0}, _TEXT),
]
Mapped = Annotated[dict[str, Any], BeforeValidator(lambda value: {} if value is None else value)]
#: Name of a queue; part of names in the server of the queue.
QueueName = Annotated[str, Field(pattern="^[A-Za-z0-9_-]{1,64}$")]
Roles = Annotated[
    dict[str, str | list[str]] | list[str] | str,
    expected("roles by realm ({realm: [role]}), a list of roles, or one role"),
]
Backend = dict[str, dict[str, Any] | None]
