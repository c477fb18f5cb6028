"""Moved: import :mod:`polytope_server.drivers.schema_version`."""

import warnings

from polytope_server.drivers.schema_version import *  # noqa: F403 -- as it was

_HERE = "polytope_server.drivers.schema_version"
warnings.warn(f"polytope_server.schema_version is {_HERE} now", DeprecationWarning, stacklevel=2)
