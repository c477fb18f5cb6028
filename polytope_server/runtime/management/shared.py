"""Several processes that are one to the outside count together, in files of a temporary folder."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def counting_together(processes: int) -> Iterator[None]:
    """Have the processes that are started within the context count together, if there are several.

    Must be entered before `prometheus_client` is imported, which decides then how it counts. What one that
    ended has counted stays, so that no counter ever falls.
    """
    if processes < 2:
        yield
        return
    owner = os.getpid()
    folder = tempfile.mkdtemp(prefix="polytope-metrics-")
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
    try:
        yield
    finally:
        # Processes that were forked within the context leave it, too.
        if os.getpid() == owner:
            shutil.rmtree(folder, ignore_errors=True)
