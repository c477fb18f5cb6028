"""Moved: import :mod:`polytope_server.settings.backends`."""

import warnings

from polytope_server.settings.backends import *  # noqa: F403 -- as it was

_HERE = "polytope_server.settings.backends"
warnings.warn(f"polytope_server.backends is {_HERE} now", DeprecationWarning, stacklevel=2)
