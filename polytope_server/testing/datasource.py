"""The contract of data sources, as tests. Inherit from :class:`DataSourceContract` and give the fixtures.

A data source that cannot be exercised without its service gives fixtures that stand one up.
"""

from __future__ import annotations

import gc
import json

import pydantic
import pytest

from polytope_server.datasource import (
    CONTENTS,
    DataSource,
    DataSourceError,
    DataSourceSettings,
    Job,
    Question,
)
from polytope_server.questions import LARGEST

_MAX_CHUNK = 1 << 20


def job(coerced_request: object, user_request: str = "", verb: str = "retrieve") -> Job:
    """A job for tests. A request that is not a mapping becomes `{"data": request}`, as in coercion."""
    coerced = coerced_request if isinstance(coerced_request, dict) else {"data": coerced_request}
    return Job("an-id", verb, user_request or str(coerced_request), coerced, "alice", "tests")


class DataSourceContract:
    """What every data source does.

    Fixtures to give: `source` (prepared), `good` (a job that it fulfils), `expected` (the bytes and the
    media type of that), `bad` (a job that is its user's fault; None where there is none), and for one that
    archives `archive_job` and `archive_data`.
    """

    @pytest.fixture
    def bad(self) -> Job | None:
        return None

    @pytest.fixture
    def archive_job(self) -> Job:
        return job({}, verb="archive")

    @pytest.fixture
    def archive_data(self) -> list[bytes]:
        return [b"some ", b"data"]

    def test_its_settings_refuse_unknown_keys(self, source: DataSource) -> None:
        assert issubclass(source.Settings, DataSourceSettings)
        settings = source.settings.model_dump() | {"no_such_key": 1}
        with pytest.raises(pydantic.ValidationError):
            source.Settings.model_validate(settings)

    def test_its_check_lets_good_requests_pass(self, source: DataSource, good: Job, archive_job: Job) -> None:
        check = type(source).request_check(source.settings)
        if check is not None:
            check(good.coerced_request, "retrieve")
            if type(source).archives(source.settings):
                check(archive_job.coerced_request, "archive")

    def test_it_yields_the_data_with_their_media_type(
        self, source: DataSource, good: Job, expected: tuple[bytes, str]
    ) -> None:
        result = source.retrieve(good)
        assert (b"".join(result.chunks), result.content_type) == expected

    def test_chunks_are_bounded(self, source: DataSource, good: Job) -> None:
        assert all(len(chunk) <= _MAX_CHUNK for chunk in source.retrieve(good).chunks)

    def test_a_chunk_stays_as_it_was_when_the_next_is_asked_for(
        self, source: DataSource, good: Job, expected: tuple[bytes, str]
    ) -> None:
        kept = list(source.retrieve(good).chunks)
        assert b"".join(kept) == expected[0]

    def test_it_answers_the_same_request_again(self, source: DataSource, good: Job) -> None:
        first, second = (b"".join(source.retrieve(good).chunks) for _ in range(2))
        assert first == second

    def test_a_result_may_be_given_up_early(
        self, source: DataSource, good: Job, expected: tuple[bytes, str]
    ) -> None:
        next(iter(source.retrieve(good).chunks), None)
        gc.collect()
        assert b"".join(source.retrieve(good).chunks) == expected[0]

    def test_a_bad_request_is_its_users_fault(self, source: DataSource, bad: Job | None) -> None:
        if bad is not None:
            with pytest.raises(DataSourceError, match=r"\S"):
                b"".join(source.retrieve(bad).chunks)

    def test_it_answers_the_questions_that_it_names(self, source: DataSource, good: Job) -> None:
        # What is there is asked for by the keys of the fields alone.
        fields = {key: value for key, value in good.coerced_request.items() if key != "feature"}
        for kind in source.questions:
            asked = fields if kind == CONTENTS else good.coerced_request
            answer = source.answer(Question(kind, asked))
            if answer is not None:
                assert len(json.dumps({"value": answer.value}, allow_nan=False)) < LARGEST
                assert answer.seconds >= 0
        assert type(source).door_question(source.settings) in {None, *source.questions}

    def test_it_archives_or_says_that_it_does_not(
        self, source: DataSource, archive_job: Job, archive_data: list[bytes]
    ) -> None:
        if type(source).archives(source.settings):
            source.archive(archive_job, iter(archive_data))
        else:
            with pytest.raises(DataSourceError, match="does not archive"):
                source.archive(archive_job, iter(archive_data))
