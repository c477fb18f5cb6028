"""Moved: import :mod:`polytope_server.accounts.api_keys`."""

import warnings

from polytope_server.accounts.api_keys import *  # noqa: F403 -- as it was

_HERE = "polytope_server.accounts.api_keys"
warnings.warn(f"polytope_server.api_keys is {_HERE} now", DeprecationWarning, stacklevel=2)
