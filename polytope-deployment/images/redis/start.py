"""Starts Redis with the password REDIS_PASSWORD."""

import os
import sys
from pathlib import Path

SERVER = "/usr/bin/redis-server"
CONFIGURATION = Path("/tmp/redis.conf")  # noqa: S108 -- replaced, never read, if it exists

password = os.environ.pop("REDIS_PASSWORD", "")
if not password or "\n" in password:
    sys.exit("the variable REDIS_PASSWORD is not set, or has several lines")
quoted = password.replace("\\", "\\\\").replace('"', '\\"')
CONFIGURATION.unlink(missing_ok=True)
with os.fdopen(os.open(CONFIGURATION, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
    file.write(f'port 6379\nbind * -::*\ndir /data\nsave ""\nappendonly no\nrequirepass "{quoted}"\n')
os.execv(SERVER, [SERVER, str(CONFIGURATION)])
