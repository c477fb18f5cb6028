"""The data source fdb on a real FDB: retrieval, archive, and each of the FDB's traps."""

import gc
import multiprocessing
import os
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
from fdb_fields import LABEL, STEPS, SURFACE, data_files, make, message, read, stored

from polytope_server.datasource import GRIB, DataSourceError, TemporaryError, WornOutError
from polytope_server.datasource.fdb import reading
from polytope_server.testing.datasource import DataSourceContract, job


@pytest.fixture
def empty(tmp_path):
    return make(tmp_path)


@pytest.fixture
def source(empty):
    empty.archive(job({}, verb="archive"), stored())
    return empty


class TestContract(DataSourceContract):
    @pytest.fixture
    def source(self, source):
        return source

    @pytest.fixture
    def good(self):
        return job({**SURFACE, "param": "2t/msl", "step": "0/to/12/by/6"})

    @pytest.fixture
    def expected(self):
        return b"".join(message(param, step) for step in STEPS for param in ("2t", "msl")), GRIB

    @pytest.fixture
    def bad(self):
        return job({**SURFACE, "param": "nosuch", "step": "0"})

    @pytest.fixture
    def archive_job(self):
        return job({"step": "18"}, verb="archive")

    @pytest.fixture
    def archive_data(self):
        return [message(step=18)]


class TestReadOnlyContract(TestContract):
    @pytest.fixture
    def source(self, source, tmp_path):
        return make(tmp_path, archive=False)


class TestRetrieve:
    @pytest.mark.parametrize(
        "request_",
        [
            {"param": "2t", "step": "6"},
            {"param": "167", "step": 6},
            {"param": "167.128", "step": [6]},
            {"param": "2t/167", "step": "6"},
            {"param": "2t", "step": "6", "grid": "av", "area": "global", "target": "x", "levelist": "off"},
            {"param": "2t", "step": "6/6"},
        ],
    )
    def test_spellings_of_one_field(self, source, request_):
        assert read(source, **SURFACE, **request_) == message("2t", 6)

    def test_fields_come_whole_and_in_order(self, source):
        wanted = {**LABEL, "levtype": "pl", "param": "t", "levelist": "1000/to/500/by/500"}
        expected = b"".join(message("t", step, level) for step in STEPS for level in (1000, 500))
        assert read(source, **wanted, step="0/to/12/by/6") == expected

    def test_a_range_without_by_is_what_the_fdb_makes_of_it(self, source):
        assert read(source, **SURFACE, param="2t", step="0/to/12") == message() + message("2t", 12)

    @pytest.mark.parametrize("missing", ["step", "expver", "domain"])
    def test_an_absent_key_is_named(self, source, missing):
        request = {**SURFACE, "param": "2t", "step": "0"}
        del request[missing]
        with pytest.raises(DataSourceError, match=f"must also name: {missing}$"):
            read(source, **request)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"param": "nosuch"}, "^Cannot match parameter nosuch$"),
            ({"step": "x"}, "^Unkown format for time: x"),
            ({"levelist": "500"}, "^key 'levelist' does not go with the other keys$"),
            ({"stream": "opera"}, "^key 'stream': 'opera' is not one of its values$"),
            ({"foo": "1"}, "^key 'foo' is not one of the FDB's"),
        ],
    )
    def test_a_mistake_is_told_in_short(self, source, change, message):
        with pytest.raises(DataSourceError, match=message) as raised:
            read(source, **({**SURFACE, "param": "2t", "step": "0"} | change))
        assert len(str(raised.value)) < 150

    @pytest.mark.parametrize("key", ["level", "leve", "LEVELIST", "Levelist", "parameter"])
    def test_an_alias_does_not_get_around_the_rules_of_a_collection(self, source, key):
        """The FDB would serve the alias's value, where the rule judged that of the key."""
        with pytest.raises(DataSourceError, match=f"key '{key}' is not one of the FDB's"):
            read(source, **LABEL, levtype="pl", param="t", step="0", levelist="500", **{key: "1000"})

    def test_a_request_that_chooses_nothing(self, source):
        with pytest.raises(DataSourceError, match="chooses no fields"):
            read(source, grid="av")


class TestMissingFields:
    """The FDB itself delivers what it has, and says nothing."""

    def test_none_is_there(self, source):
        with pytest.raises(DataSourceError, match=r"^1 of 1 fields are not available: .*step=99") as raised:
            read(source, **SURFACE, param="2t", step="99")
        assert "param=2t" in str(raised.value)

    def test_some_are_there(self, source):
        with pytest.raises(DataSourceError) as raised:
            read(source, **SURFACE, param="2t/msl/10u", step="0/to/18/by/6")
        text = str(raised.value)
        assert text.startswith("6 of 12 fields are not available: ")
        assert "param=10u, step=0/6/12/18" in text
        assert "param=2t/msl, step=18" in text

    def test_many_are_missing(self, source):
        with pytest.raises(DataSourceError, match=r"step=1/2/3/4/5/7/8/.../990 \(988 values\)$") as raised:
            read(source, **SURFACE, param="2t", step="0/to/990/by/1")
        assert str(raised.value).startswith("988 of 991 fields")
        assert len(str(raised.value)) < 500

    def test_an_empty_fdb(self, empty):
        with pytest.raises(DataSourceError, match="1 of 1 fields"):
            read(empty, **SURFACE, param="2t", step="0")


class TestTraps:
    def test_the_end_of_the_data_is_not_padded(self, source):
        data = read(source, **SURFACE, param="2t", step="0")
        assert len(data) == len(message())
        assert data.endswith(b"7777")

    def test_what_is_archived_later_is_seen(self, source, tmp_path):
        assert read(source, **SURFACE, param="2t", step="0")
        make(tmp_path).archive(job({}, verb="archive"), [message(step=18)])
        assert read(source, **SURFACE, param="2t", step="18") == message(step=18)

    @pytest.mark.parametrize(
        "bomb",
        [
            {"step": "0/to/10000000/by/1"},
            {"date": "00010101/to/99991231"},
            {"step": "0/to/9999/by/1", "levelist": "1/to/9999/by/1"},
            {"step": "/".join(map(str, range(100_001)))},
        ],
    )
    def test_a_request_for_too_much_is_refused_at_once(self, source, bomb):
        start = time.monotonic()
        with pytest.raises(DataSourceError, match="at most"):
            read(source, **{**SURFACE, "param": "2t", "step": "0", **bomb})
        assert time.monotonic() - start < 1

    def test_the_limit_of_fields_is_a_setting(self, source, tmp_path):
        with pytest.raises(DataSourceError, match="describes 3 fields; at most 2"):
            read(make(tmp_path, max_fields=2), **SURFACE, param="2t", step="0/6/12")

    def test_a_missing_data_file_does_not_crash_the_process(self, source, tmp_path):
        """Reading on while a failed handle is alive does (which this test's child would not survive)."""
        for file in data_files(tmp_path):
            file.unlink()
        code = """
            import sys
            from polytope_server.datasource import TemporaryError
            sys.path.insert(0, sys.argv[1])
            import test_fdb
            from pathlib import Path
            source = test_fdb.make(Path(sys.argv[2]))
            kept = []
            for _ in range(5):
                try:
                    test_fdb.read(source, **test_fdb.SURFACE, param="2t", step="0/6")
                except TemporaryError as error:
                    kept.append(error)  # with its traceback
            print(len(kept), kept[0])
        """
        command = [sys.executable, "-c", textwrap.dedent(code), str(Path(__file__).parent), str(tmp_path)]
        ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert ended.returncode == 0, ended.stderr
        assert ended.stdout == "5 trial cannot read the data at the moment.\n"
        assert "backtrace" not in ended.stderr

    def test_a_truncated_data_file_is_the_stores_fault(self, source, tmp_path):
        for file in data_files(tmp_path):
            os.truncate(file, 100)
        with pytest.raises(TemporaryError, match=r"^trial cannot read the data at the moment\.$"):
            read(source, **SURFACE, param="2t/msl", step="0/6/12")

    def test_bytes_that_do_not_come_are_noticed(self):
        class Short:
            def open(self):
                pass

            close = open

            def readinto(self, _):
                return 0

        with pytest.raises(TemporaryError, match="cannot read the data"):
            list(reading.read_handle("trial", Short(), 10))

    def test_an_abandoned_result_leaves_no_open_file(self, source):
        def begin():
            chunks = iter(source.retrieve(job({**SURFACE, "param": "2t", "step": "0/6/12"})).chunks)
            next(chunks)

        begin()
        gc.collect()
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(20):
            begin()
        gc.collect()
        assert len(os.listdir("/proc/self/fd")) <= before + 1

    def test_a_forked_child_reads_after_its_parent_did(self, source, tmp_path):
        """It makes an FDB object of its own. (Forking while another thread reads may block the child.)"""
        assert read(source, **SURFACE, param="2t", step="0/6/12")
        for _ in range(5):
            assert _child_reads("fork", tmp_path) == message(step=6)

    def test_a_spawned_child_reads_while_its_parent_does(self, source, tmp_path):
        stop = threading.Event()

        def keep_reading():
            while not stop.is_set():
                read(source, **SURFACE, param="2t", step="0/6/12")

        reader = threading.Thread(target=keep_reading)
        reader.start()
        try:
            assert _child_reads("spawn", tmp_path) == message(step=6)
        finally:
            stop.set()
            reader.join()


def _child_reads(method, root):
    context = multiprocessing.get_context(method)
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_read_in_child, args=(root, sender), daemon=True)
    child.start()
    try:
        assert receiver.poll(60)
        data = receiver.recv()
        child.join(60)
        assert child.exitcode == 0
        return data
    finally:
        child.kill()
        child.join()
        child.close()
        receiver.close()
        sender.close()


def _read_in_child(root, sender):
    sender.send(read(make(root), **SURFACE, param="2t", step="6"))
    sender.close()


class TestArchive:
    def test_messages_come_back_byte_by_byte(self, empty):
        data = b"".join(stored())
        chunks = (data[start : start + 1000] for start in range(0, len(data), 1000))
        empty.archive(job({**LABEL, "step": "0/to/12/by/6"}, verb="archive"), chunks)
        assert read(empty, **SURFACE, param="2t/msl", step="0/6/12") == b"".join(
            message(param, step) for step in STEPS for param in ("2t", "msl")
        )

    def test_a_field_may_be_archived_again(self, source):
        source.archive(job({"step": "0"}, verb="archive"), [message()])
        assert read(source, **SURFACE, param="2t", step="0") == message()

    @pytest.mark.parametrize(
        ("request_", "complaint"),
        [
            ({"expver": "0002"}, "expver=0001, which is not in the request"),
            ({"step": "0/6"}, "step=12"),
            ({"param": "msl"}, "param=167/2t"),
            ({"number": "1"}, "names 'number'"),
        ],
    )
    def test_messages_outside_of_the_request_are_refused(self, empty, request_, complaint):
        with pytest.raises(DataSourceError, match=complaint):
            empty.archive(job(request_, verb="archive"), [message(), message(step=12)])

    def test_a_message_that_is_too_long_is_refused_with_both_numbers(self, tmp_path):
        size = len(message())
        source = make(tmp_path, max_message=size - 1)
        complaint = f"has {size} bytes; at most {size - 1} are accepted"
        with pytest.raises(DataSourceError, match=complaint):
            source.archive(job({}, verb="archive"), [message()])
        assert data_files(tmp_path) == []

    @pytest.mark.parametrize("rest", [b"garbage", message(step=6)[:-10]])
    def test_nothing_of_a_bad_upload_becomes_visible(self, empty, tmp_path, rest):
        """Destroying an FDB object flushes it, and so does the end of the process."""
        code = """
            import sys
            sys.path.insert(0, sys.argv[1])
            import test_fdb
            from pathlib import Path
            source = test_fdb.make(Path(sys.argv[2]))
            try:
                source.archive(test_fdb.job({}), [test_fdb.message(), bytes.fromhex(sys.argv[3])])
            except test_fdb.DataSourceError as error:
                print(error)
            source.archive(test_fdb.job({}), [test_fdb.message(step=12)])
        """
        command = [sys.executable, "-c", textwrap.dedent(code), str(Path(__file__).parent)]
        ended = subprocess.run(
            [*command, str(tmp_path), rest.hex()], capture_output=True, text=True, check=True, timeout=60
        )
        assert "GRIB message" in ended.stdout
        with pytest.raises(DataSourceError, match="1 of 2 fields are not available: step=0"):
            read(empty, **SURFACE, param="2t", step="0/12")

    def test_a_child_with_many_failed_archives_is_replaced(self, empty, monkeypatch):
        monkeypatch.setattr("polytope_server.datasource.fdb.archiving._MAX_ABANDONED", 1)
        bad = [message(), b"garbage"]
        with pytest.raises(DataSourceError):
            empty.archive(job({}, verb="archive"), bad)
        with pytest.raises(WornOutError, match="too many failed archives"):
            empty.archive(job({}, verb="archive"), bad)

    def test_an_upload_without_messages_is_refused(self, empty):
        with pytest.raises(DataSourceError, match="holds no GRIB message"):
            empty.archive(job({}, verb="archive"), [])

    def test_fields_that_the_schema_has_no_place_for_are_refused(self, tmp_path):
        source = make(tmp_path)
        schema = (tmp_path / "schema").read_text().replace("time, domain", "time, domain, georef")
        (tmp_path / "schema").write_text(schema)
        with pytest.raises(DataSourceError, match="under the key 'georef', which a message does not have"):
            source.archive(job({}, verb="archive"), [message()])

    def test_a_store_that_cannot_be_written_is_tried_again(self, tmp_path):
        (tmp_path / "data").write_text("in the way")
        with pytest.raises(TemporaryError, match=r"^trial cannot be used at the moment\.$"):
            make(tmp_path).archive(job({}, verb="archive"), [message()])
