"""Texts of others made fit to be shown, and times as texts."""

from __future__ import annotations

import time


def shortened(text: str, longest: int) -> str:
    """The text; of one with more than `longest` characters the middle is replaced by a note of its length."""
    if len(text) <= longest:
        return text
    half = longest // 2
    return f"{text[:half]} [... {len(text) - 2 * half} characters left out ...] {text[-half:]}"


def clipped(text: str, longest: int) -> str:
    """The text; of one with more than `longest` characters the end is left out."""
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def encodable(text: str) -> str:
    """The text, with `?` for each surrogate: it can be encoded in UTF-8."""
    return text.encode(errors="replace").decode()


def stamp(seconds: float) -> str:
    """A time (UTC) as text, such as `2026-05-01T12:00:00Z`, from seconds since the epoch."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
