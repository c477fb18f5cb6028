"""Starts SeaweedFS as an S3 server, with one account: S3_ACCESS_KEY and S3_SECRET_KEY."""

import json
import os
import sys
from pathlib import Path

SERVER = "/opt/s3/weed"
ACCOUNTS = Path("/tmp/s3.json")  # noqa: S108 -- replaced, never read, if it exists

keys = [os.environ.pop(name, "") for name in ("S3_ACCESS_KEY", "S3_SECRET_KEY")]
if not all(keys):
    sys.exit("the variables S3_ACCESS_KEY and S3_SECRET_KEY are not set")
account = {
    "name": "polytope",
    "credentials": [dict(zip(("accessKey", "secretKey"), keys, strict=True))],
    "actions": ["Admin", "Read", "Write", "List", "Tagging"],
}
ACCOUNTS.unlink(missing_ok=True)
with os.fdopen(os.open(ACCOUNTS, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
    json.dump({"identities": [account]}, file)
# Its parts speak to each other on this address only; the S3 port alone listens for others.
inside = ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3.ip.bind=0.0.0.0"]
arguments = [
    *("-logtostderr=true", "server", "-dir=/data", "-filer", "-s3", *inside, "-s3.port=8333"),
    *("-s3.port.iceberg=0", "-s3.port.lance=0", f"-s3.config={ACCOUNTS}"),
    *("-volume.max=100", "-master.volumeSizeLimitMB=1024", "-volume.preStopSeconds=1"),
    # A master that starts again waits for others before it elects itself: 10 s by default.
    "-master.electionTimeout=1s",
]
os.execv(SERVER, [SERVER, *arguments])
