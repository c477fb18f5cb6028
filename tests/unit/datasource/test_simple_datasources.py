"""echo, dummy and raise."""

import pytest

from polytope_server.datasource import GRIB, OCTET_STREAM, DataSourceError
from polytope_server.datasource.dummy import MAX_SIZE, DummyDataSource
from polytope_server.datasource.echo import EchoDataSource
from polytope_server.datasource.raising import RaiseDataSource, RaiseSettings
from polytope_server.settings import backends
from polytope_server.testing.datasource import DataSourceContract, job


def make(kind, **settings):
    source = kind("trial", kind.Settings(**settings))
    source.prepare()
    return source


class TestEcho(DataSourceContract):
    @pytest.fixture
    def source(self):
        return make(EchoDataSource)

    @pytest.fixture
    def good(self):
        return job({"a": "1"}, "a: 1\nb:   ü")

    @pytest.fixture
    def expected(self):
        return "a: 1\nb:   ü".encode(), OCTET_STREAM

    def test_a_long_request_comes_in_several_chunks(self, source):
        text = "y" * (3 << 20)
        chunks = list(source.retrieve(job({}, text)).chunks)
        assert len(chunks) == 3
        assert b"".join(chunks).decode() == text


class TestDummy(DataSourceContract):
    @pytest.fixture
    def source(self):
        return make(DummyDataSource)

    @pytest.fixture
    def good(self):
        return job((2 << 20) + 7)

    @pytest.fixture
    def expected(self):
        return b"x" * ((2 << 20) + 7), GRIB

    @pytest.fixture
    def bad(self):
        return job("many")

    @pytest.mark.parametrize("wanted", [0, "0", 5, "5", " 5 "])
    def test_the_size_is_a_number_or_a_text(self, source, wanted):
        assert b"".join(source.retrieve(job(wanted)).chunks) == b"x" * int(wanted)

    @pytest.mark.parametrize("wanted", ["-1", -1, "1.5", True, None, "٣", "1_0", {"a": 1}, MAX_SIZE + 1])
    def test_other_requests_are_refused(self, source, wanted):
        with pytest.raises(DataSourceError, match="request"):
            source.retrieve(job(wanted))

    def test_chunks_share_one_buffer(self, source):
        first, second = source.retrieve(job(2 << 20)).chunks
        assert first is second


class TestRaise:
    def test_it_raises_its_message(self):
        source = make(RaiseDataSource, error_message="Not today.")
        with pytest.raises(DataSourceError, match=r"^Not today\.$"):
            source.retrieve(job("x"))
        with pytest.raises(DataSourceError, match=r"^Not today\.$"):
            source.archive(job("x", verb="archive"), [b""])

    def test_it_takes_archive_requests_to_fail_them(self):
        assert RaiseDataSource.archives(RaiseSettings())


@pytest.mark.parametrize("name", ["echo", "dummy", "raise", "http", "fdb"])
def test_they_are_registered_by_name(name):
    assert backends.load("datasource", name).__name__.lower().startswith(name)
