"""YAML for people, which Python and Helm read alike."""

from __future__ import annotations

import re
from typing import Any

import yaml

WIDTH = 110
#: Texts that PyYAML writes without quotes, and Go's YAML reads as something else: 0079 as a number, y as
#: true.
_READ_OTHERWISE = re.compile(r"[-+.]?[0-9].*|[yYnN]")


class _Dumper(yaml.SafeDumper):
    pass


def _represent_text(dumper: _Dumper, text: str) -> yaml.Node:
    style = "'" if _READ_OTHERWISE.fullmatch(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def dump(value: Any) -> str:
    """A value of plain types as YAML, keys in their order, with a line break at the end."""
    return str(yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=WIDTH))
