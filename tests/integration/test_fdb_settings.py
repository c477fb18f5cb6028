"""Settings of the data source fdb, and what they lead to."""

import subprocess
import sys

import pytest
import yaml
from fdb_fields import SURFACE, make, message, read, stored

from polytope_demonstration import fdb as demo
from polytope_server.datasource import TemporaryError
from polytope_server.datasource.fdb import FDBDataSource, FDBSettings
from polytope_server.testing.datasource import job


class TestSettings:
    def test_the_configuration_may_be_in_a_file(self, tmp_path):
        source = make(tmp_path)
        source.archive(job({}, verb="archive"), stored())
        path = tmp_path / "fdb.yaml"
        path.write_text(yaml.safe_dump(demo.configuration(tmp_path)))
        other = FDBDataSource("trial", FDBSettings(fdb_config=str(path), fdb_home="/opt/fdb"))
        other.prepare()
        assert read(other, **SURFACE, param="2t", step="0") == message()

    def test_a_file_without_a_configuration_is_an_error(self, tmp_path):
        path = tmp_path / "fdb.yaml"
        path.write_text("[]")
        with pytest.raises(ValueError, match="does not hold the configuration"):
            FDBDataSource("trial", FDBSettings(fdb_config=path)).prepare()

    def test_a_missing_schema_is_the_stores_fault(self, tmp_path):
        source = make(tmp_path)
        (tmp_path / "schema").unlink()
        with pytest.raises(TemporaryError, match=r"^trial cannot be used at the moment\.$"):
            read(source, **SURFACE, param="2t", step="0")

    def test_importing_the_module_does_not_load_the_libraries(self):
        code = "import sys, polytope_server.datasource.fdb; print({'pyfdb', 'eccodes'} & {*sys.modules})"
        ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert ended.stdout == "set()\n"

    def test_checking_requests_does_not_load_the_libraries(self, tmp_path):
        (tmp_path / "schema").write_text("[ class [ type [ step ]]]")
        code = f"""
import sys
from polytope_server.datasource.fdb import FDBDataSource, FDBSettings
check = FDBDataSource.request_check(FDBSettings(fdb_config={{"schema": {str(tmp_path / "schema")!r}}}))
check({{"class": "od", "type": "fc", "step": "0", "param": "2t"}}, "retrieve")
print({{"pyfdb", "eccodes", "eckitlib", "metkitlib"}} & {{*sys.modules}})
"""
        ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert ended.stdout == "set()\n"
