"""The configuration of the staging on S3."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from polytope_server.settings.addresses import parts_of
from polytope_server.settings.values import Duration, Port, Size

#: Seconds. S3 makes no address that is valid for longer.
LONGEST_EXPIRY = 7 * 86400.0


def _address(value: str) -> str:
    if not value:
        return value
    parts = parts_of(value)
    if parts is None or parts.scheme.lower() not in ("", "http", "https") or parts.query:
        raise ValueError("expected a host such as 's3.example.org' or 'https://s3.example.org'")
    return value.rstrip("/")


Address = Annotated[str, AfterValidator(_address)]


class S3Settings(BaseModel):
    """Keys of the staging on S3."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
    host: Address | None = Field(
        None, description="Host of the S3 server, with or without `http://`; none stands for Amazon's own."
    )
    port: Port = Field(8333, description="Port of the S3 server, unless `host` names one.")
    bucket: str = Field(
        "default",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{1,254}$",
        description="The bucket; it is made if it does not exist.",
    )
    access_key: str | None = Field(
        None,
        repr=False,
        description="Access key. Without one, what boto3 finds (environment, files, roles) is used.",
    )
    secret_key: str | None = Field(None, repr=False, description="Secret key that belongs to the access key.")
    region: str | None = Field(
        None, description="Region of the bucket; by default what boto3 finds, else us-east-1."
    )
    addressing_style: Literal["auto", "path", "virtual"] = Field(
        "auto", description="Whether the bucket is named in the path or in the host of addresses."
    )
    url: Address | None = Field(
        None,
        description="Address at which clients reach the server: results are at `<url>/<bucket>/<name>`, and"
        " signed addresses are made for it. With neither this nor `use_presigned_url`, the frontend serves"
        " the results.",
    )
    use_ssl: bool = Field(False, description="Whether `host` and `url` without a scheme are https ones.")
    use_presigned_url: bool = Field(
        False, description="Whether results have signed addresses, which open them for a limited time."
    )
    presigned_url_expiry: Annotated[Duration, Field(ge=1)] = Field(
        86400, description="How long a signed address is valid; at most 7 days."
    )
    max_threads: int = Field(
        10, ge=1, description="Threads of each process that speak to S3; parts are sent by as many at most."
    )
    buffer_size: Size = Field(
        8 << 20,
        description="Size of the parts in which larger results are sent, at least 5M. About four parts, or"
        " 32M, are in memory at a time. Parts grow after every 900, as S3 takes 10000.",
    )
    should_set_policy: bool = Field(
        False,
        description="Whether to replace the policy of the bucket by one that lets everybody read objects, but"
        " not list them. Without `use_presigned_url`, `url` needs such a policy.",
    )
    should_set_lifecycle: bool = Field(
        False,
        description="Whether to add a rule to the bucket that removes unfinished uploads after 7 days. A"
        " bucket made by this server has it.",
    )

    @property
    def endpoint(self) -> str | None:
        """The address of the S3 server, None for Amazon's own."""
        if not self.host:
            return None
        address = self._with_scheme(self.host)
        return address if urlsplit(address).port else f"{address}:{self.port}"

    @property
    def public_url(self) -> str | None:
        """The address at which clients reach it, None if none is given."""
        return self._with_scheme(self.url) if self.url else None

    def _with_scheme(self, address: str) -> str:
        return address if "://" in address else f"{'https' if self.use_ssl else 'http'}://{address}"
