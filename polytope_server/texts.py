"""Texts that others write, made fit to be shown."""

from __future__ import annotations


def shortened(text: str, longest: int) -> str:
    """The text; of one with more than `longest` characters the middle is left out, and that is told."""
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
