"""The text of a file with values of the chart."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

from polytope_server.config.migration.chart.values import Remark, Values
from polytope_server.config.migration.yaml_text import WIDTH, dump

_HEAD = """\
# Values for the chart polytope, written by `polytope-server config migrate --chart`. Where it says DECIDE, a
# person has to: do what the comment says, then take the comment out. The report says what is not in `config`.
"""


def format_values(values: Values, config: dict[str, Any]) -> str:
    """All values, each with its remarks before it; those without a value come first."""
    entries = {**values.entries, "config": config}
    elsewhere = [remark for remark in values.remarks if remark.key not in entries]
    lines = [_HEAD, *_format_remarks(elsewhere, named=True)]
    for key, value in entries.items():
        lines += _format_remarks((remark for remark in values.remarks if remark.key == key), named=False)
        text = dump({key: value})
        lines.append(text.rstrip("\n"))
    return "\n".join(lines) + "\n"


def _format_remarks(remarks: Iterable[Remark], *, named: bool) -> Iterator[str]:
    for remark in remarks:
        name = f"{remark.key}: " if named else ""
        text = f"{'DECIDE ' if remark.decide else ''}{name}{remark.text}"
        yield from textwrap.wrap(
            text, WIDTH, initial_indent="# ", subsequent_indent="# ",
            break_long_words=False, break_on_hyphens=False,
        )  # fmt: skip
