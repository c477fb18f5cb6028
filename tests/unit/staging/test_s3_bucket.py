"""How the bucket is prepared, with answers that SeaweedFS does not give."""

import logging
from pathlib import Path
from typing import Any

import pytest

from polytope_server.staging import StagingUnavailableError
from polytope_server.staging.s3 import S3Staging
from polytope_server.staging.s3.bucket import prepare
from polytope_server.staging.s3.client import S3Client
from polytope_server.staging.s3.errors import S3RefusedError
from polytope_server.staging.s3.settings import S3Settings


class Answers:
    """Gives prepared answers, each a dictionary or the code of an error, and keeps the calls."""

    region = "eu-west-1"

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.calls: list[tuple[str, dict[str, Any]]] = []

    async def call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        self.calls.append((operation, parameters))
        answer = self.answers.get(operation, {})
        if isinstance(answer, list):
            answer = answer.pop(0)
        if isinstance(answer, str):
            raise S3RefusedError(f"refused {operation}: {answer}", answer)
        return answer

    @property
    def operations(self) -> list[str]:
        return [operation for operation, _ in self.calls]


async def prepared(client: Answers, **keys: Any) -> Answers:
    await prepare(client, S3Settings(**keys))  # type: ignore[arg-type]
    return client


async def test_a_bucket_that_exists_is_only_asked_for() -> None:
    assert (await prepared(Answers())).operations == ["head_bucket"]


async def test_one_that_may_not_be_asked_for_is_used(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        await prepared(Answers(head_bucket="403", list_objects_v2="AccessDenied"), bucket="given")
    assert "'given' is not allowed" in caplog.text


async def test_credentials_that_are_no_good_are_an_error() -> None:
    with pytest.raises(StagingUnavailableError, match="InvalidAccessKeyId"):
        await prepared(Answers(head_bucket="403", list_objects_v2="InvalidAccessKeyId"))


async def test_one_that_does_not_exist_and_may_not_be_made_is_an_error() -> None:
    with pytest.raises(StagingUnavailableError, match=r"create_bucket: AccessDenied; it does not exist"):
        await prepared(Answers(head_bucket="404", create_bucket="AccessDenied"))


async def test_an_answer_that_is_no_answer_is_an_error() -> None:
    with pytest.raises(StagingUnavailableError, match="301"):
        await prepared(Answers(head_bucket="301"))


async def test_one_that_another_process_made_is_used() -> None:
    client = Answers(head_bucket=["404", {}], create_bucket="BucketAlreadyOwnedByYou")
    assert (await prepared(client)).operations == ["head_bucket", "create_bucket", "head_bucket"]


async def test_one_of_another_account_is_an_error() -> None:
    with pytest.raises(StagingUnavailableError, match="403"):
        await prepared(Answers(head_bucket=["404", "403"], create_bucket="BucketAlreadyExists"))


@pytest.mark.parametrize(
    ("keys", "parameters"),
    [
        ({}, {"CreateBucketConfiguration": {"LocationConstraint": "eu-west-1"}}),
        ({"host": "s3"}, {}),
    ],
)
async def test_only_amazon_is_told_the_region(keys: dict[str, Any], parameters: dict[str, Any]) -> None:
    client = Answers(head_bucket="404", get_bucket_lifecycle_configuration="NoSuchLifecycleConfiguration")
    assert ("create_bucket", parameters) in (await prepared(client, **keys)).calls


@pytest.mark.parametrize("code", ["NotImplemented", "AccessDenied"])
async def test_a_server_without_rules_can_be_used(caplog: pytest.LogCaptureFixture, code: str) -> None:
    with caplog.at_level(logging.WARNING):
        await prepared(Answers(get_bucket_lifecycle_configuration=code), should_set_lifecycle=True)
    assert "cannot set a rule for unfinished uploads" in caplog.text


async def test_a_policy_that_is_refused_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        await prepared(Answers(put_bucket_policy="AccessDenied"), should_set_policy=True)
    assert "cannot let everybody read results" in caplog.text


async def test_all_pages_of_unfinished_uploads_are_looked_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datetime import UTC, datetime

    def page(number: int, truncated: bool) -> dict[str, Any]:
        upload = {"Key": f"r{number}/x.grib", "UploadId": f"u{number}", "Initiated": datetime.now(UTC)}
        return {
            "Uploads": [upload], "IsTruncated": truncated,
            "NextKeyMarker": upload["Key"], "NextUploadIdMarker": upload["UploadId"],
        }  # fmt: skip

    answers = Answers(
        list_multipart_uploads=[page(1, True), page(2, True), {"IsTruncated": False}],
        abort_multipart_upload=[{}, "NoSuchUpload"],
        list_parts=[{}, "NoSuchUpload"],
    )
    settings = S3Settings(host="s3")
    client = S3Client(settings)
    staging = S3Staging(settings, tmp_path, client=client)
    monkeypatch.setattr(client, "call", answers.call)
    assert await staging.abandoned(datetime.now(UTC).timestamp() + 60) == 1
    assert ("list_multipart_uploads", {"KeyMarker": "r1/x.grib", "UploadIdMarker": "u1"}) in answers.calls
    await staging.close()


async def test_an_upload_that_goes_on_is_not_aborted_however_long_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datetime import UTC, datetime, timedelta

    def ago(hours: float) -> datetime:
        return datetime.now(UTC) - timedelta(hours=hours)

    slow, dead, empty, young = (f"{name}/x.grib" for name in ("slow", "dead", "empty", "young"))
    begun = {slow: ago(50), dead: ago(50), empty: ago(50), young: ago(1)}
    parts = {
        slow: [
            {"Parts": [{"LastModified": ago(49)}], "IsTruncated": True, "NextPartNumberMarker": 1000},
            {"Parts": [{"LastModified": ago(0.1)}, {"LastModified": ago(48)}], "IsTruncated": False},
        ],
        dead: [{"Parts": [{"LastModified": ago(9)}]}],
        empty: [{}],
    }
    asked, aborted = [], []

    async def call(operation: str, **parameters: Any) -> Any:
        if operation == "list_multipart_uploads":
            uploads = [{"Key": name, "UploadId": "u", "Initiated": when} for name, when in begun.items()]
            return {"Uploads": uploads, "IsTruncated": False}
        if operation == "list_parts":
            asked.append(parameters)
            return parts[parameters["Key"]].pop(0)
        if operation == "abort_multipart_upload":
            aborted.append(parameters["Key"])
        return {}

    settings = S3Settings(host="s3")
    client = S3Client(settings)
    staging = S3Staging(settings, tmp_path, client=client)
    monkeypatch.setattr(client, "call", call)
    assert await staging.abandoned(ago(6).timestamp()) == 2
    assert aborted == [dead, empty]
    assert [parameters.get("PartNumberMarker") for parameters in asked] == [None, 1000, None, None]
    await staging.close()
