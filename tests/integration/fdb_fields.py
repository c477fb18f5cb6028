"""Fields for tests of the FDB, and an FDB that holds them."""

from datetime import date
from pathlib import Path

from polytope_demonstration import fdb as demo
from polytope_demonstration import fields
from polytope_server.datasource.fdb import FDBDataSource, FDBSettings
from polytope_server.testing.datasource import job

DAY = date(2026, 1, 1)
LABEL = {
    "class": "od",
    "stream": "oper",
    "expver": "0001",
    "domain": "g",
    "date": "20260101",
    "time": "0000",
    "type": "fc",
}
SURFACE = {**LABEL, "levtype": "sfc"}
STEPS = (0, 6, 12)
#: A schema that knows ensemble members, too.
FILED = """
param: Param; step: Step; date: Date; time: Time; levelist: Double; expver: Expver; number: Integer;
[ class, expver, stream, date, time, domain
    [ type, levtype
        [ step, number?, levelist?, param ]]]
"""
_KEPT = {}


def message(param="2t", step=0, level=None, expver="0001"):
    """A field of the demonstration on a coarse grid; made once."""
    key = (param, step, level, expver)
    if key not in _KEPT:
        values = fields.compute(DAY, step, 32)[param, level]
        _KEPT[key] = fields.encode(fields.Label(param, DAY, step, level, expver), values, 32)
    return _KEPT[key]


def stored():
    """The fields that are in each test's FDB."""
    for step in STEPS:
        yield message("2t", step)
        yield message("msl", step)
        for level in (1000, 500):
            yield message("t", step, level)


def make(root, schema=None, **settings):
    """A data source on an FDB below `root`, with the schema of the demonstration unless one is given."""
    (root / "schema").write_text(schema or Path(demo.__file__).with_name("schema").read_text())
    source = FDBDataSource("trial", FDBSettings(fdb_config=demo.configuration(root), **settings))
    source.prepare()
    return source


def listed(source):
    """The keys of all fields that are visible."""
    return [element.combined_key() for element in source.open().list({})]


def read(source, **request):
    return b"".join(source.retrieve(job(request)).chunks)


def data_files(root):
    return sorted((root / "data").rglob("*.data"))
