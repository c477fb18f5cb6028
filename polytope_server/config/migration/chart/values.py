"""What the values of the chart are made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Remark:
    """What a person should know, or `decide`, about a value of the chart."""

    key: str
    text: str
    decide: bool = True


@dataclass(slots=True)
class Values:
    """Values of the chart by their top-level name, as far as the old file has them, and remarks on them."""

    entries: dict[str, Any] = field(default_factory=dict)
    remarks: list[Remark] = field(default_factory=list)

    def set(self, path: str, value: Any) -> None:
        """Set a value, unless it says nothing."""
        if value in (None, "", {}, []):
            return
        *above, last = path.split(".")
        section = self.entries
        for name in above:
            section = section.setdefault(name, {})
        section[last] = value

    def remark(self, key: str, text: str, *, decide: bool = True) -> None:
        """Say what cannot be seen in a value."""
        self.remarks.append(Remark(key, text, decide))
