"""What the native libraries of an FDB read of the environment when they are loaded."""

from __future__ import annotations

import os

#: eckit writes stack traces of errors that are reported anyway.
_ECKIT = {
    "ECKIT_EXCEPTION_DUMPS_BACKTRACE": "0",
    "ECKIT_EXCEPTION_IS_SILENT": "1",
    "ECKIT_SERIOUS_BUG_IS_SILENT": "1",
    "ECKIT_ASSERT_FAILED_IS_SILENT": "1",
}


def prepare_eckit() -> None:
    """Set what eckit reads, where it is not set already; to be called before its libraries are imported."""
    for name, value in _ECKIT.items():
        os.environ.setdefault(name, value)
