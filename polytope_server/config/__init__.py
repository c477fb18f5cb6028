"""The configuration: YAML files, merged, expanded, typed and validated.

`load` is the way in. `create_backend` and `backend_settings` make what the configuration names; `mask` hides
secrets of whatever is shown or logged.
"""

from .check import backend_settings, create_backend
from .loading import Configuration, coercion_rules, load, source_rules
from .masking import mask
from .problems import ConfigurationError
from .settings import Settings

__all__ = [
    "Configuration",
    "ConfigurationError",
    "Settings",
    "backend_settings",
    "coercion_rules",
    "create_backend",
    "load",
    "mask",
    "source_rules",
]
