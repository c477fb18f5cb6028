"""Uploads that the FDB would take and not find again: refused before anything of them is visible."""

import shutil

import pytest
from fdb_fields import FILED, SURFACE, listed, make, message, read
from grib_messages import encode, encode_member, joined

from polytope_server.datasource import DataSourceError, TemporaryError
from polytope_server.datasource.fdb import dry_run
from polytope_server.datasource.working_folder import remove_left_behind
from polytope_server.language import CoercionRules, coerce
from polytope_server.testing.datasource import job

TWO_METRES = {"paramId": 167, "step": 0}
MEMBER_0 = encode_member(0, **TWO_METRES)


@pytest.fixture
def source(tmp_path):
    return make(tmp_path, schema=FILED)


def archive(source, *messages, **request):
    source.archive(job(coerce(request), verb="archive"), iter(messages))


def refusal(source, *messages, **request):
    """Why an upload is refused; nothing of it may be visible afterwards."""
    with pytest.raises(DataSourceError) as raised:
        archive(source, *messages, **request)
    assert listed(source) == []
    return str(raised.value)


class TestSeveralFields:
    def test_in_one_message_are_refused_and_counted(self, source):
        wind = joined(encode(paramId=165, step=0), encode(paramId=166, step=0))
        reason = refusal(source, message(), wind, param="10u/2t")
        assert reason.startswith("a message holds 2 fields")
        assert "grib_copy" in reason

    @pytest.mark.parametrize(
        "second",
        [encode(paramId=228, stepRange="4-5"), encode(paramId=228, stepRange="0-5")],
        ids=["another period", "the same"],
    )
    def test_with_the_same_keys_in_one_upload_are_refused(self, source, second):
        reason = refusal(source, message(), encode(paramId=228, stepRange="0-5"), message("msl"), second)
        assert reason.startswith("two messages of the upload are filed under the same keys")
        assert "step=5, param=228" in reason

    def test_with_the_same_keys_far_apart_are_refused(self, source, monkeypatch):
        monkeypatch.setattr(dry_run, "_BATCH", 2)
        steps = [message(step=step) for step in (0, 6, 12, 0)]
        assert "step=0" in refusal(source, *steps)

    def test_with_a_key_that_the_schema_does_not_have_are_refused(self, tmp_path):
        members = [encode_member(number, **TWO_METRES) for number in (1, 2)]
        reason = refusal(make(tmp_path, schema=FILED.replace("number?, ", "")), *members)
        assert reason == "the FDB does not file fields under 'number', which a message has"

    def test_of_a_batch_after_the_first_come_back(self, source, monkeypatch):
        monkeypatch.setattr(dry_run, "_BATCH", 2)
        steps = [message(step=step) for step in (0, 6, 12, 18, 24)]
        archive(source, *steps)
        assert read(source, **SURFACE, param="2t", step="0/to/24/by/6") == b"".join(steps)


class TestWhatCannotBeAskedFor:
    def test_a_parameter_without_a_number_is_refused_with_its_codes(self, source):
        reason = refusal(source, encode(discipline=209), **{"class": "od"})
        assert reason.endswith("discipline 209, parameterCategory 0, parameterNumber 0")

    def test_member_0_is_refused_where_requests_may_not_name_it(self, source):
        reason = refusal(source, MEMBER_0, **{"class": "od"})
        assert "key 'number': '0' is not accepted" in reason

    def test_member_0_is_archived_where_requests_may_name_it(self, source):
        source.coercion = CoercionRules(number_allow_zero=True)
        archive(source, MEMBER_0)
        labels = {**SURFACE, "stream": "enfo", "type": "pf", "number": "0"}
        assert read(source, **labels, param="2t", step="0") == MEMBER_0

    @pytest.mark.parametrize(
        ("keys", "complaint"),
        [
            ({"dataTime": 30}, "key 'time': '0030' is not accepted"),
            ({"dataDate": 101}, "key 'date': '101' is not accepted"),
            ({"stream": "wave", "paramId": 140251}, "key 'domain': 'unknown' is not one of its values"),
        ],
    )
    def test_a_value_that_no_request_may_have_is_refused(self, source, keys, complaint):
        assert complaint in refusal(source, encode(**{**TWO_METRES, **keys}))

    def test_it_is_refused_without_a_second_attempt_if_the_schema_has_no_rule_for_it(self, tmp_path):
        source = make(tmp_path, schema=FILED.replace("type, levtype", "type=an, levtype"))
        assert "the FDB has no rule for a field with the keys" in refusal(source, encode(**TWO_METRES))


class TestSpellings:
    @pytest.mark.parametrize(("minutes", "step"), [(0, "0m"), (70, "70m"), (30, "30m"), (120, "2")])
    def test_a_step_in_minutes_is_read_as_the_request_is(self, source, minutes, step):
        field = encode(indicatorOfUnitForForecastTime="m", forecastTime=minutes, paramId=167)
        archive(source, field, step=step)
        assert read(source, **coerce({**SURFACE, "param": "2t", "step": step})) == field

    def test_another_step_in_minutes_is_still_refused(self, source):
        field = encode(indicatorOfUnitForForecastTime="m", forecastTime=70, paramId=167)
        assert "step=70m, which is not in the request" in refusal(source, field, step="7")

    @pytest.mark.parametrize(("date", "time"), [("2026-01-01", "6"), ("20260101", "06:00")])
    def test_dates_and_times_are_read_as_those_of_the_request_are(self, source, date, time):
        field = encode(**TWO_METRES | {"dataTime": 600})
        archive(source, field, date=date, time=time)
        assert read(source, **SURFACE | {"time": "0600"}, param="2t", step="0") == field


class TestSchemas:
    def test_a_key_that_a_field_lacks_is_not_asked_for(self, tmp_path):
        """Optional keys of the second level are listed with empty values."""
        source = make(tmp_path, schema=FILED.replace("type, levtype", "type, levtype, number?, quantile?"))
        archive(source, message())
        with pytest.raises(DataSourceError, match=r"must also name: step$"):
            read(source, **SURFACE, param="2t")

    def test_fields_of_a_satellite_are_told_apart(self, tmp_path):
        """By `ident`: a request without it finds none of them."""
        rule = "[ type [ step, ident, instrument, param ]]"
        source = make(tmp_path, schema=FILED[: FILED.index("[ type")] + rule + "]")
        seen = {"productDefinitionTemplateNumber": 32, "NB": 1, "instrumentType": 207}
        fields = [encode(type="ssd", **seen, satelliteNumber=number) for number in (57, 70)]
        archive(source, *fields)
        labels = {**SURFACE, "type": "ssd", "param": "130", "step": "0", "instrument": "207"}
        del labels["levtype"]
        assert read(source, **labels, ident="70") == fields[1]

    def test_of_several_fdbs_the_selected_one_is_tried(self, tmp_path):
        source = make(tmp_path, schema=FILED)
        local = source.settings.fdb_config
        for part in ("first", "second"):
            (tmp_path / part).mkdir()
        parts = [
            {**local, "select": select, "spaces": [{"handler": "Default", "roots": [{"path": str(root)}]}]}
            for select, root in (("class=rd", tmp_path / "first"), ("class=od", tmp_path / "second"))
        ]
        source._config = {"type": "select", "fdbs": parts}
        archive(source, message())
        assert read(source, **SURFACE, param="2t", step="0") == message()
        with pytest.raises(DataSourceError, match="discipline 209"):
            archive(source, encode(discipline=209))


class TestTheFolderOfADryRun:
    @pytest.fixture
    def folders(self, tmp_path, monkeypatch):
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        return lambda: list(tmp_path.glob(f"{dry_run.PREFIX}*"))

    def test_is_removed_whatever_happens(self, source, folders):
        archive(source, message())
        with pytest.raises(DataSourceError):
            archive(source, message(step=6), b"garbage")
        assert folders() == []

    def test_that_cannot_be_written_ends_the_attempt_and_not_the_process(self, source, folders):
        """Destroying an FDB object that cannot flush what it holds aborts, as would this test's process."""

        def data():
            yield message()
            shutil.rmtree(*folders())

        with pytest.raises(TemporaryError, match="cannot be used at the moment"):
            source.archive(job({}, verb="archive"), data())
        assert listed(source) == []
        assert source._archiver.abandoned == 2

    def test_of_a_killed_process_is_removed_by_the_next(self, tmp_path, folders):
        (tmp_path / f"{dry_run.PREFIX}left").mkdir()
        make(tmp_path)
        assert folders() == []

    def test_of_another_process_stays(self, source, tmp_path, folders):
        def data():
            yield message()
            remove_left_behind(dry_run.PREFIX)
            assert len(folders()) == 1

        source.archive(job({}, verb="archive"), data())
        assert listed(source)
