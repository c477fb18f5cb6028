"""How a configuration is read: YAML files, merged, expanded, checked. Start at `load`.

Its sections and keys are in :mod:`polytope_server.settings`. Only processes and commands
import this package.
"""

from polytope_server.config.loading import Configuration, coercion_rules, load, source_rules

__all__ = ["Configuration", "coercion_rules", "load", "source_rules"]
