"""From files to the configuration, or to everything that is wrong with them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from itertools import combinations
from pathlib import Path
from typing import Any

from polytope_server.collection import About, Collection, DataSourceConfig, Limits
from polytope_server.config.check import check_backends, normal_authentication
from polytope_server.config.datasources import DataSources
from polytope_server.config.migration.rules import is_of_earlier_chart
from polytope_server.config.unset import unset_secrets
from polytope_server.datasource import factory
from polytope_server.language import CoercionRules, SourceRules
from polytope_server.settings import backends
from polytope_server.settings.data import AUTH_O_TRON, NO_REALMS
from polytope_server.settings.masking import secrets_of
from polytope_server.settings.nodes import FileError, Node, merge, read
from polytope_server.settings.problems import ConfigurationError, Report, keys_of, suggestion
from polytope_server.settings.root import Settings
from polytope_server.settings.secrets import are_shared
from polytope_server.user import may_share_ids

SYSTEM_FILE = Path("/etc/polytope/config.yaml")
#: Further files by the environment, so that each command that runs in a container reads the same.
FILES_VARIABLE = "POLYTOPE_CONFIG_FILES"
_NO_KEYS = (
    "secrets: gives no keys, and the queue is not the local one: requests to data sources that need keys of "
    "their users are refused, and machines do not share what they remember of credentials; set secrets.keys "
    "or secrets.file"
)


@dataclass(frozen=True)
class Configuration:
    """A configuration that is valid, and `warnings` of what is probably a mistake.

    `collections` are in the order of the files; `raw` is the merged mapping, secrets included; `secrets` are
    the secrets that stand in it, and `unset` says by section which of them are variables that are not set.
    `refusals` are, by section, what processes refuse that authenticate callers by it.
    """

    settings: Settings = field(default_factory=lambda: Settings.model_validate({}))
    collections: dict[str, Collection] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    raw: dict[str, Any] = field(default_factory=dict, repr=False)
    secrets: frozenset[str] = field(default=frozenset(), repr=False)
    unset: dict[str, list[str]] = field(default_factory=dict)
    refusals: dict[str, list[str]] = field(default_factory=dict)

    def check_secrets(self, *sections: str) -> None:
        """Raise :class:`ConfigurationError` if a secret is the name of a variable, which is public, or if one
        is refused.

        Of all sections, unless some are named.
        """
        # One after the other: the name of a variable is no password in clear text.
        for found in (self.unset, self.refusals):
            problems = [line for name in sections or found for line in found.get(name, ())]
            if problems:
                raise ConfigurationError(problems)


def load(
    files: Sequence[Path],
    *,
    environ: Mapping[str, str] = os.environ,
    system_file: Path = SYSTEM_FILE,
) -> Configuration:
    """The configuration of the system file, if there is one, and of each further file, later ones winning.

    Files that `POLYTOPE_CONFIG_FILES` names come before `files`. Without any file it is that of the embedded
    back-ends. Raises :class:`ConfigurationError` with everything that is wrong.
    """
    system = [system_file] if system_file.exists() else []
    root = _read_files([*system, *files_of(environ), *files], environ)
    report = Report()
    raw, root = root.plain(), _known_sections(report, root)
    settings = report.validated(Settings, root)
    report.note_idle_keys(Settings, root)
    check_backends(report, root)
    sources = DataSources(report, root, coercion_rules(settings or Settings.model_validate({})))
    found = {name: sources.of_collection(node) for name, node in _datasource_lists(report, root)}
    sources.check_unused()
    if settings is not None:
        report.problems += _realms_with_shared_ids(settings)
    if report.problems:
        raise ConfigurationError(report.problems)
    settings = settings.model_copy(
        update={
            "authentication": normal_authentication(settings.authentication),
            "api_keys": {key: keys for key, keys in settings.api_keys.items() if keys is not None},
        }
    )
    collections = {name: _make_collection(settings, name, sources) for name, sources in found.items()}
    warnings = [
        *_warnings(report, settings),
        *_missing_packages(collections.values()),
        *_unknown_realms(settings, collections.values()),
        *_counted_apart(settings),
        *_too_large_for_a_body(settings, collections.values()),
    ]
    secrets = frozenset(report.secrets.union(secrets_of(raw)))
    return Configuration(
        settings, collections, warnings, raw, secrets, unset_secrets(root), dict(report.refusals)
    )


def files_of(environ: Mapping[str, str] = os.environ) -> list[Path]:
    """The files that `POLYTOPE_CONFIG_FILES` names, between the system's separators of paths."""
    return [Path(path) for path in environ.get(FILES_VARIABLE, "").split(os.pathsep) if path]


def source_rules(source: DataSourceConfig) -> SourceRules:
    """What a data source says about the requests that it serves."""
    keys, kind = source.keys, factory.kind_of(source)
    return SourceRules(
        roles=keys.get("roles") or (),
        match=keys.get("match") or {},
        defaults=keys.get("defaults") or {},
        patch=keys.get("patch") or {},
        accepts_feature=kind.accepts_feature,
        accepts_mappings=kind.accepts_mappings,
        aliases=kind.aliases,
        implied=kind.implied_keys if kind.accepts_feature else None,
        spelling=factory.spelling(source),
    )


def coercion_rules(settings: Settings) -> CoercionRules:
    """How requests are brought into canonical form: the built-in rules and those of the configuration."""
    built_in, own = CoercionRules(), settings.coercion
    return CoercionRules(
        allow_ranges=built_in.allow_ranges.union(own.allow_ranges),
        allow_lists=built_in.allow_lists.union(own.allow_lists),
        number_allow_zero=own.number_allow_zero,
    )


def _read_files(files: Iterable[Path], environ: Mapping[str, str]) -> Node:
    documents: list[Node] = []
    problems: list[str] = []
    for file in files:
        try:
            documents += read(file, environ)
        except FileError as error:
            source = f" (named by {FILES_VARIABLE})" if file in files_of(environ) else ""
            problems.append(f"{error}{source}")
    if problems:
        raise ConfigurationError(problems)
    return reduce(merge, documents, Node({}))


def _known_sections(report: Report, root: Node) -> Node:
    """The tree without unknown sections: a warning only, so that other programs may share the file."""
    known = keys_of(Settings)
    unknown = [key for key, _ in root.children() if key not in known]
    for key in unknown:
        report.warn(root.value[key], _name_unknown_section(str(key), known))
    return root.without(unknown)


def _name_unknown_section(key: str, known: list[str]) -> str:
    if is_of_earlier_chart(key):
        return "a value of an earlier server's chart, which the server does not read; see `config migrate`"
    return f"unknown section; {suggestion(key, known)}"


def _datasource_lists(report: Report, root: Node) -> Iterable[tuple[str, Node]]:
    """Name and list of data sources of each collection; notes what is wrong with the collection itself."""
    for name, node in (root.child("collections") or Node({})).children():
        # It is one segment of a path, from which clients take out `.` and `..`.
        if not name or name in (".", "..") or "/" in str(name):
            report.problem(
                node, f"{name!r} cannot be the name of a collection: not empty, not '.' or '..', and no '/'"
            )
        roles = node.child("roles")
        if roles is None or not roles.value:
            report.warn(node, "has no roles, so no user may use it")
        yield name, node.child("datasources") or Node([])


def _make_collection(settings: Settings, name: str, sources: tuple[DataSourceConfig, ...]) -> Collection:
    section = settings.collections[name]
    limits = Limits(section.limits.total, section.limits.per_user, section.limits.per_role)
    max_request = section.max_request or settings.frontend.max_request
    about = About(**{**dict(section.about), "examples": tuple(section.about.examples)})
    return Collection(name, sources, section.roles, limits, section.queue, max_request, about)


def _realms_with_shared_ids(settings: Settings) -> list[str]:
    """Pairs of realms in which two users could have the same id."""
    realms = {str(realm) for realm in settings.authentication if realm not in NO_REALMS}
    for section in settings.identity.values():
        realms.update(_list_names((section or {}).get("realm")))
    realms.update(_list_names((settings.api_keys.get("generator") or {}).get("allowed_realms")))
    for peer in settings.federation.values():
        realms.update(_list_names(peer.allowed_realms))
    return [
        f"the realms {one!r} and {other!r} cannot be used together: two users could have one id; rename one"
        for one, other in combinations(sorted(realms), 2)
        if may_share_ids(one, other)
    ]


def _list_names(value: Any) -> list[str]:
    """A name or a list of names, of a section that may have mistakes."""
    return [name for name in (value if isinstance(value, list) else [value]) if isinstance(name, str)]


def _unknown_realms(settings: Settings, collections: Iterable[Collection]) -> list[str]:
    """Realms in the roles of collections that no authenticated user can belong to: most likely a typo."""
    peers = [peer.allowed_realms for peer in settings.federation.values()]
    if "any" in peers or AUTH_O_TRON in settings.authentication or not settings.authentication:
        return []
    known = {realm for realm in settings.authentication if realm not in NO_REALMS}.union(*peers)
    return [
        f"collections.{collection.name}.roles: no user is of the realm {realm!r}; {suggestion(realm, known)}"
        for collection in collections
        if isinstance(collection.roles, Mapping)
        for realm in collection.roles
        if realm not in known
    ]


def _counted_apart(settings: Settings) -> list[str]:
    """A limit of calls that is exceeded, because the processes that count share no cache."""
    frontend = settings.frontend
    in_memory = {"memory", "globalvar"} & settings.caching.keys()
    if frontend.limits.calls_per_second is None or frontend.workers == 1 or not in_memory:
        return []
    return [
        f"frontend.limits.calls-per-second: each of the {frontend.workers} frontend.workers counts for "
        "itself in the cache 'memory'; use redis, memcached or mongodb"
    ]


def _too_large_for_a_body(settings: Settings, collections: Iterable[Collection]) -> list[str]:
    """Limits of requests that cannot be reached, because the body of a call is limited to less."""
    body = settings.frontend.max_body
    return [
        f"collections.{collection.name}: max_request is {collection.max_request} bytes, and the "
        f"body of a call only {body}; raise frontend.max_body"
        for collection in collections
        if collection.max_request > body
    ]


def _missing_packages(collections: Iterable[Collection]) -> list[str]:
    """Packages that a worker on this machine would lack. No error: other processes do not need them."""
    return [
        f"collections.{collection.name}: where workers run, datasource {source.name!r} of type "
        f"{source.type!r} {backends.explain_package('datasource', source.type, module)}"
        for collection in collections
        for source in collection.datasources
        for module in factory.missing(source)
    ]


def _warnings(report: Report, settings: Settings) -> list[str]:
    # Imported here: it imports these settings.
    from polytope_server.authentication import federation

    unshared = [] if are_shared(settings.secrets, settings.queue) else [_NO_KEYS]
    return list(dict.fromkeys([*report.warnings, *federation.warnings(settings.federation), *unshared]))
