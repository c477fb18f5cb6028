"""Post-processing of the data source fdb, on a real FDB: what it makes is what MIR's command line makes."""

import json
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyfdb
import pytest
from fdb_fields import LABEL, STEPS, SURFACE, data_files, make, message, read, stored
from mir_command import changed, field_of_edition_1, look, noise, run_mir, spectral, split, values_of, wind

from polytope_server.datasource import DataSourceError, Question, TemporaryError
from polytope_server.datasource.fdb import FDBDataSource, FDBSettings
from polytope_server.datasource.fdb.postprocess import generate
from polytope_server.testing.datasource import DataSourceContract, job

GRIDS = ("1/1", "2.5/1.25", "O16", "F24")
AREAS = ("", "60/-10/30/40", "europe", "30/170/-30/-170")
PRESSURE = {**LABEL, "levtype": "pl", "levelist": "500"}
TURNED = {"grid": "2/2", "rotation": "-35/15"}
MISSING = 9999.0


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return tmp_path_factory.mktemp("weights")


def make_source(root, weights, **settings):
    return make(root, postprocess=True, weights=weights, **settings)


def holey():
    """A field with missing values."""
    values = noise(3, mean=280)
    values[:800] = MISSING
    return changed(values, bitmapPresent=1, missingValue=MISSING, paramId=151)


@pytest.fixture(scope="module")
def source(tmp_path_factory, weights):
    """On an FDB with scalars, winds at three steps, one half of a wind, a bitmap, and spherical harmonics."""
    source = make_source(tmp_path_factory.mktemp("fdb"), weights)
    archive(source, (message("2t", step) for step in STEPS))
    for step in STEPS:
        archive(source, wind(step))
    archive(source, [wind(0, 228246, 228247)[0], holey()])
    archive(source, [spectral(param) for param in (138, 155, 131, 132, 130)])
    return source


@pytest.fixture
def stored_as_sources(tmp_path, weights):
    """On an FDB that has no winds, but their sources."""
    source = make_source(tmp_path, weights)
    archive(source, [spectral(param) for param in (138, 155, 130)])
    return source


@pytest.fixture(scope="module")
def edition_1(tmp_path_factory, weights):
    """A source, and its only field, of edition 1 on N128."""
    source, field = make_source(tmp_path_factory.mktemp("edition1"), weights), field_of_edition_1()
    archive(source, [field])
    return source, field


def archive(source, messages):
    source.archive(job({}, verb="archive"), messages)


def read_with_notes(source, **request):
    """The bytes, and the notes for the user."""
    said = []
    told = replace(job(request), tell=lambda kind, text: said.append(text) if kind == "note" else None)
    result = source.retrieve(told)
    return b"".join(result.chunks), said


def test_a_request_is_one_fdb_object(source, monkeypatch):
    opened, open_ = [], source.open
    monkeypatch.setattr(pyfdb, "FDB", lambda config, fdb=pyfdb.FDB: opened.append(config) or fdb(config))
    assert open_() is not None
    assert len(opened) == 1
    request = {**SURFACE, "param": "2t", "step": "0/6/12", "grid": "10/10"}
    assert len(split(read(source, **request))) == 3
    assert len(opened) == 2


def test_a_read_that_fails_leaves_the_process_fit_for_the_next(tmp_path, weights):
    source = make_source(tmp_path, weights)
    archive(source, [message("2t", 0), message("2t", 6)])
    archive(source, wind(0))
    archive(source, wind(6))
    request = {**LABEL, "levtype": "sfc", "step": "0/6", "param": "2t/165/166", "rotation": "-35/15"}
    request |= {"grid": "10/10"}
    whole = read(source, **request)
    assert len(split(whole)) == 6
    for file in data_files(tmp_path):
        content = file.read_bytes()
        file.write_bytes(content[: len(content) // 2])
        for _ in range(2):
            with pytest.raises(TemporaryError):
                read(source, **request)
        file.write_bytes(content)
        assert read(source, **request) == whole


def progress_of(source, **request):
    """What a user reads while a request is processed."""
    said = []
    for _ in source.retrieve(replace(job(request), tell=lambda _, text: said.append(text))).chunks:
        pass
    return said


class TestContract(DataSourceContract):
    @pytest.fixture
    def source(self, tmp_path, weights):
        source = make_source(tmp_path, weights)
        archive(source, stored())
        return source

    @pytest.fixture
    def good(self):
        return job({**SURFACE, "param": "2t", "step": "0", "grid": "1/1"})

    @pytest.fixture
    def expected(self, tmp_path, weights):
        return run_mir([message()], weights, tmp_path, grid="1/1"), "application/x-grib"

    @pytest.fixture
    def bad(self):
        return job({**SURFACE, "param": "2t", "step": "0", "grid": "1"})

    @pytest.fixture
    def archive_job(self):
        return job({"step": "18"}, verb="archive")

    @pytest.fixture
    def archive_data(self):
        return [message(step=18)]


class TestLikeTheCommandLine:
    @pytest.mark.parametrize("grid", GRIDS)
    @pytest.mark.parametrize("area", AREAS)
    def test_grid_and_area(self, source, weights, tmp_path, grid, area):
        options = {"grid": grid} | ({"area": area} if area else {})
        made = read(source, **SURFACE, param="2t", step="0", **options)
        assert made == run_mir([message()], weights, tmp_path, **options)

    @pytest.mark.parametrize(
        "options",
        [
            {"area": "60/-10/30/40"},
            {"grid": "H16"},
            {"grid": "N32"},
            {"grid": "2/2", "rotation": "-35/15"},
            {"grid": "2/2", "interpolation": "nearest-neighbour"},
            {"grid": "5/5", "interpolation": "grid-box-average"},
            {"grid": "2/2", "accuracy": "8"},
            {"grid": "2/2", "packing": "simple"},
            {"packing": "simple"},
            {"grid": "2/2", "frame": "3"},
        ],
    )
    def test_other_keys(self, source, weights, tmp_path, options):
        made = read(source, **SURFACE, param="2t", step="0", **options)
        assert made == run_mir([message()], weights, tmp_path, **options)

    @pytest.mark.parametrize("options", [{"grid": "1/1", "area": "60/-10/30/40"}, {"grid": "O32"}])
    def test_edition_1_of_grib(self, edition_1, weights, tmp_path, options):
        source, field = edition_1
        made = read(source, **SURFACE, param="2t", step="0", **options)
        assert look(made, "edition") == (1,)
        assert made == run_mir([field], weights, tmp_path, **options)

    def test_what_edition_1_cannot_hold(self, edition_1):
        with pytest.raises(DataSourceError, match=r"GRIB edition 1\) cannot be brought to grid=H16"):
            read(edition_1[0], **SURFACE, param="2t", step="0", grid="H16")
        with pytest.raises(DataSourceError, match="packing=ccsds requires edition conversion"):
            read(edition_1[0], **SURFACE, param="2t", step="0", packing="ccsds")

    @pytest.mark.parametrize("grid", ["1.0/1.0", [1, 1], "1/1.", "1e0/1"])
    def test_spellings(self, source, grid):
        plain = read(source, **SURFACE, param="2t", step="0", grid="1/1")
        assert read(source, **SURFACE, param="2t", step="0", grid=grid) == plain

    def test_several_fields_come_in_their_order(self, source, weights, tmp_path):
        made = read(source, **SURFACE, param="2t", step="0/6/12", grid="2/2")
        assert made == run_mir([message(step=step) for step in STEPS], weights, tmp_path, grid="2/2")

    def test_missing_values(self, source, weights, tmp_path):
        made = read(source, **SURFACE, param="msl", step="0", grid="2/2")
        assert made == run_mir([holey()], weights, tmp_path, grid="2/2")
        assert 0 < np.count_nonzero(values_of(made) == MISSING) < len(values_of(made))

    @pytest.mark.parametrize(
        "options",
        [
            {"grid": "2/2"},
            {"grid": "O16", "area": "europe"},
            {"grid": "2/2", "truncation": "21"},
            {"grid": "2/2", "intgrid": "none"},
            {"truncation": "21"},
            {"accuracy": "12"},
        ],
    )
    def test_spherical_harmonics(self, source, weights, tmp_path, options):
        made = read(source, **PRESSURE, param="t", step="0", **options)
        assert made == run_mir([spectral(130)], weights, tmp_path, **options)

    @pytest.mark.parametrize("param", [138, 155])
    def test_vorticity_and_divergence_are_scalars(self, source, weights, tmp_path, param):
        made = read(source, **PRESSURE, param=str(param), step="0", **TURNED)
        assert made == run_mir([spectral(param)], weights, tmp_path, **TURNED)


class TestVectors:
    @pytest.mark.parametrize("param", ["10u/10v", "10v/10u", "165/166", "10u/2t/166"])
    def test_both_components_are_turned_together(self, source, weights, tmp_path, param):
        made = split(read(source, **SURFACE, param=param, step="0", **TURNED))
        turned = split(run_mir(wind(), weights, tmp_path, flags=["uv2uv"], **TURNED))
        assert made[-2:] == turned
        alone = run_mir([wind()[0]], weights, tmp_path, **TURNED)
        assert np.abs(values_of(alone) - values_of(turned[0])).max() > 1

    def test_each_step_is_a_vector_of_its_own(self, source, weights, tmp_path):
        made = read(source, **SURFACE, param="10u/10v", step="0/6/12/06", **TURNED)
        expected = [run_mir(wind(s), weights, tmp_path, flags=["uv2uv"], **TURNED) for s in STEPS]
        assert made == b"".join(expected)

    def test_components_that_are_spherical_harmonics(self, source, weights, tmp_path):
        made = read(source, **PRESSURE, param="u/v", step="0", **TURNED)
        both = [spectral(131), spectral(132)]
        assert made == run_mir(both, weights, tmp_path, flags=["uv2uv"], **TURNED)

    def test_on_a_grid_that_is_not_turned_each_goes_by_itself(self, source, weights, tmp_path):
        made = read(source, **SURFACE, param="10u", step="0", grid="2/2")
        assert made == split(run_mir(wind(), weights, tmp_path, flags=["uv2uv"], grid="2/2"))[0]

    def test_half_a_vector_is_not_turned(self, source):
        with pytest.raises(DataSourceError, match="165 is one component, and the other one, 166, is not"):
            read(source, **SURFACE, param="10u", step="0", **TURNED)

    def test_half_of_it_is_not_in_the_archive(self, source):
        with pytest.raises(DataSourceError, match="1 of 2 fields are not available: param=100v"):
            read(source, **SURFACE, param="100u/100v", step="0", **TURNED)

    def test_what_may_be_missing_may_not_be_half_a_vector(self, source):
        with pytest.raises(DataSourceError, match="of one vector there is 228246 without 228247"):
            read(source, **SURFACE, param="100u/100v", step="0", expect="any", **TURNED)

    def test_winds_are_made_of_vorticity_and_divergence(self, stored_as_sources, weights, tmp_path):
        both = [spectral(138), spectral(155)]
        for options in ({}, {"grid": "2/2"}, TURNED):
            made = read(stored_as_sources, **PRESSURE, param="u/v", step="0", **options)
            assert made == run_mir(both, weights, tmp_path, flags=["vod2uv"], **options)
        made = read(stored_as_sources, **PRESSURE, param="v/t", step="0", grid="2/2")
        components = split(run_mir(both, weights, tmp_path, flags=["vod2uv"], grid="2/2"))
        assert split(made) == [run_mir([spectral(130)], weights, tmp_path, grid="2/2"), components[1]]

    def test_without_post_processing_such_winds_are_refused(self, stored_as_sources):
        plain = FDBDataSource("plain", FDBSettings(fdb_config=stored_as_sources.settings.fdb_config))
        plain.prepare()
        for param in ("u", "131/132", "t/v"):
            with pytest.raises(DataSourceError, match="ask for 138 and 155"):
                read(plain, **PRESSURE, param=param, step="0")
        assert read(plain, **PRESSURE, param="vo/d", step="0") == spectral(138) + spectral(155)

    def test_the_door_knows_of_winds_that_can_be_made(self, stored_as_sources):
        request = {**PRESSURE, "param": "u/v", "step": "0", "grid": "2/2"}
        assert stored_as_sources.answer(Question("check", request)).value == []
        (missing,) = stored_as_sources.answer(Question("check", {**request, "step": "99"})).value
        assert "2 of 2 fields are not available" in missing

    @pytest.mark.parametrize(
        ("param", "count"), [("u", 1), ("132", 1), ("u/v", 2), ("u/131/t", 2), ("u/vo", 2)]
    )
    def test_winds_that_are_made_count_as_those_that_are_asked_for(self, stored_as_sources, param, count):
        request = {**PRESSURE, "param": param, "step": "0"}
        made, notes = read_with_notes(stored_as_sources, **request, expect=count)
        assert len(split(made)) == count
        assert notes == [f"expect={count}: {count} of {count} fields are available."]
        estimate = stored_as_sources.answer(Question("estimate", request)).value
        assert (estimate["fields"], estimate["missing"]["fields"]) == (count, 0)
        assert progress_of(stored_as_sources, **request)[-1] == f"{count} of {count} fields"

    @pytest.mark.parametrize(
        ("param", "missing", "part"),
        [
            ("u", "1 of 2", "step=99"),
            ("u/v", "2 of 4", "param=u/v, step=99"),
            ("u/q", "3 of 4", "param=u, step=99; param=q, step=0/99"),
        ],
    )
    def test_winds_that_cannot_be_made_are_missing_by_their_names(
        self, stored_as_sources, param, missing, part
    ):
        request = {**PRESSURE, "param": param, "step": "0/99"}
        with pytest.raises(DataSourceError, match=f"^{missing} fields are not available: {part}$"):
            read(stored_as_sources, **request)
        (said,) = stored_as_sources.answer(Question("check", {**request, "expect": 4})).value
        assert said.startswith("key 'expect': 4 fields are expected, and ")
        estimate = stored_as_sources.answer(Question("estimate", request)).value
        assert {"param": "u", "step": "99"}.items() >= estimate["missing"]["examples"][0].items()

    def test_winds_are_not_made_of_one_half(self, stored_as_sources):
        archive(stored_as_sources, [spectral(138, step=6)])
        request = {**PRESSURE, "param": "u/v", "step": "0/6", "grid": "2/2"}
        with pytest.raises(DataSourceError, match="2 of 4 fields are not available: param=u/v, step=6"):
            read(stored_as_sources, **request)
        with pytest.raises(DataSourceError, match="of one vector there is 138 without 155"):
            read(stored_as_sources, **request, expect="any")

    def test_vectors_that_are_missing_whole_are_left_out(self, source):
        made = read(source, **SURFACE, param="10u/10v", step="12/18", expect="any", **TURNED)
        assert [look(one, "shortName", "step") for one in split(made)] == [("10u", 12), ("10v", 12)]


class TestNotes:
    def test_what_is_there_anyway_is_the_stored_field(self, source):
        made, notes = read_with_notes(source, **SURFACE, param="2t", step="0", grid="av", area="g", use="n")
        assert made == message()
        assert notes == ["Without effect, as it is so anyway: use=n, grid=av, area=g."]

    def test_a_truncation_of_a_grid(self, source):
        request = {**SURFACE, "param": "2t", "step": "0/6", "grid": "2/2", "truncation": "63"}
        _, notes = read_with_notes(source, **request)
        assert notes == ["Without effect on some fields, which are on a grid: truncation=63."]

    def test_a_packing_that_is_for_grids(self, source):
        _, notes = read_with_notes(source, **PRESSURE, param="t", step="0", packing="simple")
        assert notes == ["Without effect on some fields, which are spherical harmonics: packing=simple."]

    def test_progress(self, source):
        said = progress_of(source, **SURFACE, param="2t", step="0/6/12", grid="2/2")
        assert said == [f"{n} of 3 fields" for n in (1, 2, 3)]


class TestRefusals:
    @pytest.mark.parametrize("key", ["area", "frame"])
    def test_spherical_harmonics_have_no_points(self, source, key):
        value = {"area": "europe", "frame": "2"}[key]
        with pytest.raises(DataSourceError, match=f"key '{key}': .* are spherical harmonics"):
            read(source, **PRESSURE, param="t", step="0", **{key: value})

    def test_a_packing_for_spherical_harmonics(self, source):
        with pytest.raises(DataSourceError, match="'complex' is for spherical harmonics"):
            read(source, **SURFACE, param="2t", step="0", packing="complex")

    def test_malformed_values(self, source):
        with pytest.raises(DataSourceError, match="key 'grid': '1' is not accepted"):
            read(source, **SURFACE, param="2t", step="0", grid="1")

    def test_what_mir_refuses_is_said_without_its_insides(self, source, caplog):
        """A field on an area only, of a grid for which that cannot be."""
        cut = read(source, **SURFACE, param="2t", step="0", grid="H16")
        archive(source, [changed(base=cut, paramId=168)])
        with pytest.raises(DataSourceError) as raised:
            read(source, **SURFACE, param="2d", step="0", area="europe")
        message = (
            "a field (parameter 168, grid healpix, GRIB edition 2) cannot be brought to area=75/-12.5/35/42.5"
        )
        assert str(raised.value) == message
        assert "croppedRepresentation" in caplog.text


class TestQuiet:
    def test_mir_writes_nothing_to_the_servers_output(self, source, capfd):
        read(source, **SURFACE, param="2t", step="0", grid="3/3", area="50/0/41/9")
        assert capfd.readouterr() == ("", "")


def test_the_tables_are_those_of_the_installed_mir():
    kept = json.loads(Path(generate.__file__).with_name("tables.json").read_text())
    made = {"mir": version("mirlib"), **generate.read_tables(generate.find_installed())}
    assert kept == json.loads(json.dumps(made)), "make mir-tables"
