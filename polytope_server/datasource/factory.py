"""From the configuration of a data source to its class and settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from typing import Any

from pydantic import SecretStr, TypeAdapter

from polytope_server.collection import Collection, DataSourceConfig
from polytope_server.datasource import DataSource, DataSourceSettings, RequestCheck
from polytope_server.language import Spelling
from polytope_server.settings import backends
from polytope_server.settings.data import DataSourceSection
from polytope_server.settings.problems import keys_of

#: Keys that every data source may have; the server handles them, the data source does not see them.
GENERIC_KEYS = frozenset(keys_of(DataSourceSection))


def kind_of(config: DataSourceConfig) -> type[DataSource]:
    """The class of a data source. Raises :class:`~polytope_server.settings.backends.UnknownBackendError`."""
    found: type[DataSource] = backends.load("datasource", config.type)
    return found


def settings_of(config: DataSourceConfig) -> DataSourceSettings:
    """The checked keys of its own. Raises pydantic's ValidationError."""
    own: dict[str, Any] = {key: value for key, value in config.keys.items() if key not in GENERIC_KEYS}
    return kind_of(config).Settings.model_validate(own)


def plain_settings(config: DataSourceConfig) -> dict[str, Any]:
    """The same as JSON, secrets in clear: for the child of a worker alone."""
    found = _reveal(settings_of(config).model_dump())
    plain: dict[str, Any] = TypeAdapter(dict[str, Any]).dump_python(found, mode="json")
    return plain


def _reveal(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, dict):
        return {key: _reveal(item) for key, item in value.items()}
    return [_reveal(item) for item in value] if isinstance(value, list | tuple) else value


def missing(config: DataSourceConfig) -> list[str]:
    """The Python modules that a worker needs for it and that are not installed here."""
    return [module for module in kind_of(config).requires if find_spec(module) is None]


def archives(config: DataSourceConfig) -> bool:
    """Whether it takes archive requests."""
    return kind_of(config).archives(settings_of(config))


def spelling(config: DataSourceConfig) -> Spelling | None:
    """How values of its requests and of its `match` are compared."""
    return kind_of(config).spelling(settings_of(config))


def request_check(config: DataSourceConfig) -> RequestCheck | None:
    """What checks its requests when they are submitted."""
    return kind_of(config).request_check(settings_of(config))


def judged_keys(config: DataSourceConfig) -> frozenset[str]:
    """The keys of requests that its `match` judges."""
    aliases = kind_of(config).aliases
    keys = (str(key).lower() for key in config.keys.get("match") or {})
    return frozenset(aliases.get(key, key) for key in keys)


def door_question(config: DataSourceConfig) -> str | None:
    """The kind of question that is asked about its requests when they are submitted."""
    return kind_of(config).door_question(settings_of(config))


def answering(collections: Iterable[Collection]) -> bool:
    """Whether a data source of these collections answers questions."""
    return any(kind_of(source).questions for found in collections for source in found.datasources)


def description(config: DataSourceConfig) -> Mapping[str, Any]:
    """What it says of itself to users."""
    return kind_of(config).describe(settings_of(config))


def user_attributes(config: DataSourceConfig) -> frozenset[str]:
    """The attributes of the user that it is given with a request."""
    return frozenset(kind_of(config).user_attributes(settings_of(config)))
