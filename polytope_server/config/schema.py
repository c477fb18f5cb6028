"""The JSON Schema of the configuration: the typed sections, and the keys of each installed back-end."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from polytope_server.settings import backends
from polytope_server.settings.data import (
    AUTH_O_TRON,
    REALM,
    SECTIONS,
    APIKeysSettings,
    AuthOTronSettings,
    CacheTime,
    DataSourceSection,
    RealmSettings,
)
from polytope_server.settings.root import Settings

Schema = dict[str, Any]

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> Schema:
    """The schema, in the dialect 2020-12."""
    concerns = {concern: _with_aliases(concern, installed(concern)) for concern in backends.BUILT_IN}
    sections: list[type[BaseModel]] = [
        *(Settings, DataSourceSection, RealmSettings, APIKeysSettings, AuthOTronSettings)
    ]
    backend_models = [model for models in concerns.values() for model in models.values()]
    definitions = _Definitions(sections + backend_models)
    root = definitions.of(Settings)
    properties = root["properties"]
    for concern in SECTIONS:
        properties[concern] |= _one_of(definitions, concerns[concern])
    properties["authentication"] |= _authentication(definitions, concerns)
    properties["api-keys"] |= _typed_properties(
        definitions, APIKeysSettings, dict.fromkeys(("generator", "authenticator"), concerns["api_key"])
    )
    properties["datasources"]["additionalProperties"] = _datasource(definitions, concerns["datasource"])
    # An unknown section is a warning only: other programs may share the file.
    return {"$schema": _DIALECT, **root, "additionalProperties": True, "$defs": definitions.all}


def installed(concern: str) -> dict[str, type[BaseModel]]:
    """The keys of each back-end of a concern that can be loaded, by its name."""
    found: dict[str, type[BaseModel]] = {}
    for name in backends.names(concern):
        try:
            found[name] = backends.load(concern, name).Settings
        except backends.UnknownBackendError:
            continue
    return found


def _with_aliases(concern: str, models: dict[str, type[BaseModel]]) -> dict[str, type[BaseModel]]:
    aliases = {alias: name for (of, alias), name in backends.ALIASES.items() if of == concern}
    return models | {alias: models[name] for alias, name in aliases.items() if name in models}


class WithFactories(GenerateJsonSchema):
    """Includes defaults that are made by a function."""

    def default_schema(self, schema: Any) -> Schema:
        if "default_factory" in schema:
            schema = {**schema, "default": schema["default_factory"]()}
        return super().default_schema(schema)


class _Definitions:
    """The schemas of models, with names that do not clash."""

    def __init__(self, models: Iterable[type[BaseModel]]) -> None:
        wanted = [(model, "validation") for model in dict.fromkeys(models)]
        self._names, schemas = models_json_schema(wanted, schema_generator=WithFactories)  # type: ignore[arg-type]
        self.all: Schema = schemas["$defs"]

    def of(self, model: type[BaseModel]) -> Schema:
        """The schema of a model, which may be changed."""
        found: Schema = self.all[self.reference(model)["$ref"].rpartition("/")[2]]
        return found

    def reference(self, model: type[BaseModel]) -> Schema:
        return self._names[model, "validation"]


def _one_of(definitions: _Definitions, models: dict[str, type[BaseModel]]) -> Schema:
    properties = {
        name: {"anyOf": [definitions.reference(model), {"type": "null"}]} for name, model in models.items()
    }
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _typed(definitions: _Definitions, models: dict[str, type[BaseModel]]) -> Schema:
    """A mapping with `type`, and the keys of that type."""
    kind = {"type": {"enum": sorted(models), "description": "Which back-end."}}
    cases = [_case(name, definitions.of(model), kind, required=True) for name, model in models.items()]
    return {"type": "object", "required": ["type"], "properties": kind, "allOf": cases}


def _case(name: str, own: Schema, generic: Schema, *, required: bool) -> Schema:
    then = {
        "properties": {**dict.fromkeys(generic, True), **own.get("properties", {})},
        "required": own.get("required", []) if required else [],
        "additionalProperties": own.get("additionalProperties", True),
    }
    return {"if": {"properties": {"type": {"const": name}}, "required": ["type"]}, "then": then}


def _typed_properties(
    definitions: _Definitions, model: type[BaseModel], models: dict[str, dict[str, type[BaseModel]]]
) -> Schema:
    schema = definitions.of(model)
    for key, backend in models.items():
        schema["properties"][key] |= {"anyOf": [_typed(definitions, backend), {"type": "null"}]}
    return {"$ref": definitions.reference(model)["$ref"]}


def _authentication(definitions: _Definitions, concerns: dict[str, dict[str, type[BaseModel]]]) -> Schema:
    realm = definitions.of(RealmSettings)["properties"]
    for key, concern in REALM.items():
        realm[key]["additionalProperties"] = _typed(definitions, concerns[concern])
    cache = {"default": 60, **TypeAdapter(CacheTime).json_schema()}
    auth_o_tron = {"anyOf": [definitions.reference(AuthOTronSettings), {"type": "null"}]}
    return {
        "properties": {"cache": cache, AUTH_O_TRON: auth_o_tron},
        "additionalProperties": definitions.reference(RealmSettings),
    }


def _datasource(definitions: _Definitions, models: dict[str, type[BaseModel]]) -> Schema:
    """A data source. No key is required, because its parents or the collection may have it."""
    own = definitions.of(DataSourceSection)
    cases = [
        _case(name, definitions.of(model), own["properties"], required=False)
        for name, model in models.items()
    ]
    # Keys of a type that is inherited are not known here.
    return {**own, "additionalProperties": True, "allOf": cases}
