"""Several processes that are one to the outside count together, in files of a temporary folder."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import values


@contextmanager
def counting_together(processes: int) -> Iterator[None]:
    """Have the processes that are started within the context count together, if there are several.

    Must be entered before the first metric is made. What a process that ended has counted stays, so that no
    counter ever falls.
    """
    if processes < 2:
        yield
        return
    owner = os.getpid()
    folder = tempfile.mkdtemp(prefix="polytope-metrics-")
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
    # It decides by the variable how to count when it is imported, and it may have been.
    values.ValueClass = values.get_value_class()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        # Processes that were forked within the context leave it, too.
        if os.getpid() == owner:
            shutil.rmtree(folder, ignore_errors=True)
