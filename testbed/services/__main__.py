"""`python -m testbed.services`: get what the tests with real servers need."""

from __future__ import annotations

import sys

from testbed.services import programs


def main() -> int:
    """Fetch every program that is missing, and tell what there is. What cannot be had fails nothing."""
    for service in programs.PROGRAMS:
        reason = programs.fetch(service)
        print(f"{service:12}{programs.find(service) if reason is None else f'cannot be had: {reason}'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
