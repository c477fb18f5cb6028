"""The configuration of an FDB, or of another library of ECMWF: in the server's own, or in a file."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator

from polytope_server.datasource.fdb import git_schema, schema
from polytope_server.datasource.fdb.metkit import Tables
from polytope_server.language.errors import shown

logger = logging.getLogger(__name__)

#: Kinds of FDBs that pyfdb 5.25 has; `local` is the default.
_KINDS = ("local", "remote", "select")
#: Keys under which a configuration has those of several FDBs.
PARTS = ("fdbs", "lanes")
#: Keys that hold for all of these, unless they have their own.
_INHERITED = ("schema", "writable")
_DEEPEST = 10

FDBConfig = Mapping[str, Any]


def _check_form(config: dict[str, Any] | Path) -> dict[str, Any] | Path:
    if isinstance(config, dict):
        for part in _walk(config):
            _check_part(part)
    return config


LibraryConfig = dict[str, Any] | Path
"""A key of a data source: the configuration of a library, or the path to a YAML file that holds it."""
FDBConfigKey = Annotated[LibraryConfig, AfterValidator(_check_form)]
"""The same for an FDB, whose form is checked."""


def load_config(config: LibraryConfig) -> FDBConfig:
    """The configuration, from its file where it is in one. Raises ValueError, OSError, yaml.YAMLError."""
    if isinstance(config, dict):
        return config
    loaded = yaml.safe_load(config.read_text())
    if not isinstance(loaded, dict):
        raise ValueError(f"{config} does not hold the configuration of a library")
    return loaded


def read_fdb_config(config: LibraryConfig) -> FDBConfig:
    """The configuration of an FDB, whose form is checked. Raises ValueError, OSError, yaml.YAMLError."""
    loaded = load_config(config)
    _check_form(dict(loaded))
    return loaded


def load_fdb_config(config: LibraryConfig) -> FDBConfig:
    """The configuration of an FDB as its library takes it: a schema in a git repository is fetched.

    Raises ValueError, OSError, yaml.YAMLError.
    """
    return _make_plain(read_fdb_config(config))


def _make_plain(config: FDBConfig) -> dict[str, Any]:
    made = dict(config)
    for key in PARTS:
        if key in made:
            made[key] = [_make_plain(_inherit(config, part)) for part in made[key]]
    if isinstance(source := made.get("schema"), dict):
        made["schema"] = str(git_schema.fetch(git_schema.read(source)))
    if made.get("writable") is False and "spaces" in made:
        # The FDB itself heeds the key of a root only.
        made["spaces"] = [_make_unwritable(space) for space in made["spaces"]]
    return made


def _make_unwritable(space: Mapping[str, Any]) -> dict[str, Any]:
    return {**space, "roots": [{**root, "writable": False} for root in space.get("roots", ())]}


def every_part(config: FDBConfig) -> Iterator[FDBConfig]:
    """The configuration of each FDB that one consists of, with what it has from above. Raises ValueError.

    That of an FDB that consists of no other is itself.
    """
    return (part for part in _walk(config) if part.keys().isdisjoint(PARTS))


def _walk(config: FDBConfig, depth: int = 0) -> Iterator[FDBConfig]:
    """A configuration, and all those that are in it, with what they have from above. Raises ValueError."""
    yield config
    for key in PARTS:
        if key in config:
            for part in _read_parts(config, key, depth):
                yield from _walk(_inherit(config, part), depth + 1)


def _read_parts(config: FDBConfig, key: str, depth: int) -> list[FDBConfig]:
    parts = config[key]
    if not isinstance(parts, list) or not parts or not all(isinstance(part, dict) for part in parts):
        raise ValueError(f"{key} must be a list of configurations of FDBs")
    if depth == _DEEPEST:
        raise ValueError(f"{key} is nested more than {_DEEPEST} deep")
    return parts


def _inherit(config: FDBConfig, part: FDBConfig) -> dict[str, Any]:
    return {**{key: config[key] for key in _INHERITED if key in config}, **part}


def _check_part(config: FDBConfig) -> None:
    kind, source = config.get("type", "local"), config.get("schema")
    if isinstance(source, dict):
        git_schema.read(source)
    elif source is not None and not isinstance(source, str):
        raise ValueError(f"schema: {shown(source)} is neither the path to a file, nor has it a key 'git'")
    if kind == "remote" and not (isinstance(config.get("host"), str) and _is_port(config.get("port"))):
        raise ValueError("an FDB of type remote needs the host and the port of its catalogue server")
    spaces = config.get("spaces", [])
    if not isinstance(spaces, list) or not all(_is_space(space) for space in spaces):
        raise ValueError("spaces must be a list of mappings, each with a list of roots that have a path")


def _is_port(value: object) -> bool:
    return str(value).isdecimal() and 0 < int(str(value)) < 1 << 16


def _is_space(space: object) -> bool:
    roots = space.get("roots", []) if isinstance(space, dict) else None
    return isinstance(roots, list) and all(
        isinstance(root, dict) and isinstance(root.get("path"), str) for root in roots
    )


def roots_of(config: FDBConfig) -> Iterator[Mapping[str, Any]]:
    """Each root of the local FDBs of a configuration."""
    for part in every_part(config):
        for space in part.get("spaces", ()):
            yield from space.get("roots", ())


def describe_unwritable(config: LibraryConfig) -> str:
    """Why nothing can be archived, as far as this process can read; the empty text if something can."""
    try:
        parts = list(every_part(read_fdb_config(config)))
    except (OSError, ValueError, yaml.YAMLError):
        return ""
    if all(part.get("writable") is False or _has_no_writable_root(part) for part in parts):
        return "all roots of fdb_config are read-only (writable: false)"
    if not all(part.get("schema") for part in parts):
        return "fdb_config names no schema, by which uploads are checked"
    return ""


def _has_no_writable_root(part: FDBConfig) -> bool:
    roots = list(roots_of(part))
    return bool(roots) and all(root.get("writable") is False for root in roots)


def has_read_only_root(config: FDBConfig) -> bool:
    """Whether a root is read-only."""
    return any(root.get("writable") is False for root in roots_of(config))


def lacks_permission(config: FDBConfig) -> bool:
    """Whether there are roots that are writable by the configuration, and none is for this process."""
    writable = [Path(root["path"]) for root in roots_of(config) if root.get("writable", True)]
    return bool(writable) and all(
        path.is_dir() and not os.access(path, os.W_OK | os.X_OK) for path in writable
    )


def describe_oddities(config: LibraryConfig) -> Iterator[str]:
    """What a configuration has that will probably not work, as far as this process can read it."""
    try:
        kinds = [part.get("type", "local") for part in _walk(read_fdb_config(config))]
    except ValueError as error:
        yield f"fdb_config: {error}"
        return
    except (OSError, yaml.YAMLError):
        # Only a worker needs to read it.
        return
    for kind in kinds:
        if kind not in _KINDS:
            yield f"the FDB of this version knows no type {shown(kind)}; it has {', '.join(_KINDS)}"


def find_schema(config: LibraryConfig | None, known: Tables | None) -> schema.Schema | None:
    """The schema of an FDB, where this process can read it: a frontend needs neither it nor the FDB."""
    try:
        return _read_schema(load_fdb_config(config or {}), known)
    except (OSError, ValueError, yaml.YAMLError) as error:
        logger.info("requests are not checked for the keys of the FDB's schema: %s", error)
        return None


def _read_schema(config: FDBConfig, known: Tables | None) -> schema.Schema:
    """The schemas that a configuration names, as one. Raises OSError, ValueError."""
    canonical = known.canonical if known else _fold
    paths = [part.get("schema") for part in every_part(config)]
    if not all(paths):
        raise ValueError("the configuration of an FDB names no schema")
    texts = (Path(str(path)).read_text() for path in dict.fromkeys(paths))
    return schema.Schema(tuple(rule for text in texts for rule in schema.parse(text, canonical).rules))


def _fold(key: str, value: str) -> str:
    return value.lower()


def make_roots(config: Mapping[str, Any]) -> None:
    """Make the folders of a local FDB: without any it answers nothing but errors."""
    for root in roots_of(config):
        try:
            Path(root["path"]).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            logger.warning("FDB root %s: %s", root["path"], error)
