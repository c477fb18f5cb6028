"""Every link within the documentation leads somewhere."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parents[2]
_HIDDEN = ("node_modules", "build", "dist")
PAGES = sorted(
    page
    for page in ROOT.rglob("*.md")
    if not any(part.startswith(".") or part in _HIDDEN for part in page.relative_to(ROOT).parts)
)
_CODE = re.compile(r"^(```|~~~).*?^\1\s*$|`[^`\n]*`", re.MULTILINE | re.DOTALL)
_FENCED = re.compile(r"^(```|~~~).*?^\1\s*$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)
_ELSEWHERE = re.compile(r"^[a-z][a-z0-9+.-]*:")


def links(page: Path) -> Iterator[str]:
    """The addresses of links in a page, but for those in code."""
    for found in _LINK.finditer(_CODE.sub("", page.read_text(encoding="utf-8"))):
        if not _ELSEWHERE.match(found[1]):
            yield unquote(found[1])


@cache
def anchors(page: Path) -> frozenset[str]:
    """The anchors of the headings of a page, as GitHub makes them."""
    seen: Counter[str] = Counter()
    found = set()
    for heading in _HEADING.findall(_FENCED.sub("", page.read_text(encoding="utf-8"))):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        found.add(slug if not seen[slug] else f"{slug}-{seen[slug]}")
        seen[slug] += 1
    return frozenset(found)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def index_of(page: Path) -> Path:
    """The index that must name a page: that of its folder, and for the index of a folder the one above."""
    folder = page.parent.parent if page.name == "index.md" else page.parent
    return folder / "index.md"


def test_every_page_of_the_documentation_is_in_an_index() -> None:
    docs = ROOT / "docs"
    missing = []
    for page in PAGES:
        if page.is_relative_to(docs) and page != docs / "index.md":
            index = index_of(page)
            linked = {(index.parent / link.partition("#")[0]).resolve() for link in links(index)}
            if page not in linked:
                missing.append(str(page.relative_to(docs)))
    assert missing == []
