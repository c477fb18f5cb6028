"""Whether SeaweedFS answers, which includes its file system: exit status 0 or 1."""

import sys
from urllib.error import HTTPError
from urllib.request import urlopen

try:
    with urlopen("http://127.0.0.1:8333/healthz", timeout=3):
        status = 200
except HTTPError as error:
    status = error.code
except OSError as error:
    sys.exit(str(error))
sys.exit(0 if status == 200 else f"status {status}")
