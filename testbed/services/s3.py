"""S3: SeaweedFS, and two servers that know less of it."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from testbed.services.programs import program
from testbed.services.service import Service, free_port

#: Each of SeaweedFS's servers listens for the others on a port so far above its own.
_PEER = 10_000


class S3Server(Service):
    """A server with one account."""

    access_key, secret_key = "tests", "secret key of the tests"
    #: Of the operations that the server uses where it can, those that are refused here.
    unknown: ClassVar[Sequence[str]] = ()

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._address = self.host
        self.host = f"http://{self._address}"
        (self.folder / "data").mkdir()
        self._known = False

    @property
    def variables(self) -> dict[str, str]:
        return {
            "S3_HOST": self.host,
            "S3_PORT": str(self.port),
            "S3_BUCKET": "polytope",
            "S3_ACCESS_KEY": self.access_key,
            "S3_SECRET_KEY": self.secret_key,
        }

    @property
    def endpoint(self) -> str:
        """The address of the S3 API."""
        return f"{self.host}:{self.port}"

    @abstractmethod
    def command(self) -> Sequence[str]: ...

    def client(self) -> Any:
        """A client of boto3, for tests that look inside."""
        import boto3
        from botocore.config import Config

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name="us-east-1",
            config=Config(connect_timeout=2, read_timeout=30, retries={"total_max_attempts": 1}),
        )

    def ready(self) -> bool:
        from botocore.exceptions import BotoCoreError, ClientError

        client = self.client()
        try:
            if not self._known:
                client.create_bucket(Bucket="ready")
                self._known = True
            client.put_object(Bucket="ready", Key="ready", Body=b"ready")
        except (BotoCoreError, ClientError):
            return False
        return True


class S3(S3Server):
    """A SeaweedFS."""

    name = "s3"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.port = free_port(_PEER)
        self._others = {name: free_port(_PEER) for name in ("master", "volume", "filer")}
        account = {
            "name": self.access_key,
            "credentials": [{"accessKey": self.access_key, "secretKey": self.secret_key}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        (self.folder / "s3.json").write_text(json.dumps({"identities": [account]}))

    def command(self) -> Sequence[str]:
        return [
            *(program(self.name), "-logtostderr=true", "server", f"-dir={self.folder / 'data'}"),
            *("-filer", "-s3"),
            *(f"-ip={self._address}", f"-ip.bind={self._address}", f"-s3.port={self.port}"),
            *(f"-{name}.port={port}" for name, port in self._others.items()),
            *("-s3.port.iceberg=0", "-s3.port.lance=0", f"-s3.config={self.folder / 's3.json'}"),
            *("-volume.max=100", "-master.volumeSizeLimitMB=1024", "-volume.preStopSeconds=1"),
            # A master that starts again waits for others before it elects itself: 10 s by default.
            "-master.electionTimeout=1s",
        ]


class Rclone(S3Server):
    """`rclone serve s3` of a folder: it knows neither rules nor policies of buckets."""

    name = "rclone"
    unknown = ("put_bucket_lifecycle_configuration", "put_bucket_policy")

    def command(self) -> Sequence[str]:
        return [
            *(program(self.name), "serve", "s3", "--config", "", "--addr", f"{self._address}:{self.port}"),
            *("--auth-key", f"{self.access_key},{self.secret_key}", str(self.folder / "data")),
        ]


class S3rver(S3Server):
    """The S3rver of Node.js: besides, it can neither list nor abort uploads, and verifies no MD5."""

    name = "s3rver"
    access_key = secret_key = "S3RVER"
    unknown = (
        *("get_bucket_lifecycle_configuration", "put_bucket_policy"),
        *("list_multipart_uploads", "abort_multipart_upload"),
    )

    def command(self) -> Sequence[str]:
        return [
            *(program(self.name), "--silent", "--directory", str(self.folder / "data")),
            *("--address", self._address, "--port", str(self.port)),
        ]
