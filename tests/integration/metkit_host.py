"""Retrievals from an FDB by another metkit: a process reads the one of METKIT_HOME, once.

Takes the root of an FDB and requests as a list of JSON; prints what is said of each, as a list of JSON
on the last line: metkit writes to the standard output, too.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from polytope_demonstration import fdb as demo
from polytope_server.datasource import DataSourceError
from polytope_server.datasource.fdb import FDBDataSource, FDBSettings
from polytope_server.testing.datasource import job


def retrieve(source: FDBDataSource, request: dict[str, Any]) -> str:
    """What the data source says of a request for fields that the FDB does not hold."""
    try:
        source.retrieve(job(request))
    except DataSourceError as error:
        return str(error)
    return "retrieved"


if __name__ == "__main__":
    root, requests = sys.argv[1:]
    source = FDBDataSource("trial", FDBSettings(fdb_config=demo.configuration(Path(root))))
    source.prepare()
    print(json.dumps([retrieve(source, request) for request in json.loads(requests)]))
