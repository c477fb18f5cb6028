"""For all tests."""

from __future__ import annotations

import os

# Nothing that the tests talk to is behind a proxy, and a ~/.netrc of the machine must not add credentials.
for _name in list(os.environ):
    if _name.lower() in ("http_proxy", "https_proxy", "all_proxy"):
        os.environ[f"POLYTOPE_TESTS_{_name}"] = os.environ.pop(_name)
