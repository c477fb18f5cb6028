"""What all back-ends have in common that cannot be reached: whoever calls may try again."""

from __future__ import annotations


class UnavailableError(RuntimeError):
    """A back-end cannot be reached, or is full, at the moment. The text names it, and is for the log."""
