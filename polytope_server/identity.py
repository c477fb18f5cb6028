"""Moved: import :mod:`polytope_server.accounts.users`."""

import warnings

from polytope_server.accounts.users import *  # noqa: F403 -- as it was

_HERE = "polytope_server.accounts.users"
warnings.warn(f"polytope_server.identity is {_HERE} now", DeprecationWarning, stacklevel=2)
