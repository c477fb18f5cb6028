"""What the configuration may say: sections with their keys, kinds of values, and back-ends by name.

`create_backend` and `backend_settings` make what a configuration names. :mod:`polytope_server.config` reads
the files.
"""

from polytope_server.settings.creation import backend_settings, create_backend, section_settings
from polytope_server.settings.problems import ConfigurationError
from polytope_server.settings.root import Settings

__all__ = [
    "ConfigurationError",
    "Settings",
    "backend_settings",
    "create_backend",
    "section_settings",
]
