"""The configuration: YAML files, merged, expanded, typed and validated.

`load` is the way in. `create_backend` and `backend_settings` make what the configuration names; `mask` hides
secrets of whatever is shown or logged.
"""

from polytope_server.config.check import backend_settings, create_backend, section_settings
from polytope_server.config.loading import Configuration, coercion_rules, load, source_rules
from polytope_server.config.masking import mask
from polytope_server.config.problems import ConfigurationError
from polytope_server.config.settings import Settings

__all__ = [
    "Configuration",
    "ConfigurationError",
    "Settings",
    "backend_settings",
    "coercion_rules",
    "create_backend",
    "load",
    "mask",
    "section_settings",
    "source_rules",
]
