"""Writes the table of values into the chart's README.md, from the comments in its values.yaml.

python polytope-deployment/charts/values_table.py
"""

from __future__ import annotations

import re
from pathlib import Path

CHART = Path(__file__).with_name("polytope")
BEGIN, END = "<!-- values: begin -->", "<!-- values: end -->"
_KEY = re.compile(r"( *)([A-Za-z0-9]+):(?: (.*))?$")
#: A comment that begins so describes the key below it; the lines after it go on.
_MARK = "# -- "


def rows(text: str) -> list[tuple[str, str, str]]:
    """Path, default and meaning of each value that has a comment, in the order of the file."""
    found: list[tuple[str, str, str]] = []
    above: list[str] = []
    comment: list[str] = []
    for line in text.splitlines():
        content = line.strip()
        if content.startswith(_MARK):
            comment = [content.removeprefix(_MARK)]
        elif content.startswith("#") and comment:
            comment.append(content.removeprefix("#").strip())
        elif key := _KEY.match(line):
            above = [*above[: len(key[1]) // 2], key[2]]
            if comment:
                found.append((".".join(above), (key[3] or "").strip(), " ".join(comment)))
            comment = []
        else:
            comment = []
    return found


def table(text: str) -> str:
    """The same as Markdown."""
    lines = ["| value | default | meaning |", "|---|---|---|"]
    for path, default, meaning in rows(text):
        shown = f"`{default}`" if default else ""
        lines.append(f"| `{path}` | {shown} | {meaning.replace('|', chr(92) + '|')} |")
    return "\n".join(lines)


def updated(readme: str, values: str) -> str:
    """The README with its table generated again."""
    before, rest = readme.split(BEGIN)
    return f"{before}{BEGIN}\n\n{table(values)}\n\n{END}{rest.split(END)[1]}"


def main() -> None:
    """Write it."""
    readme = CHART / "README.md"
    readme.write_text(updated(readme.read_text(), (CHART / "values.yaml").read_text()))


if __name__ == "__main__":
    main()
