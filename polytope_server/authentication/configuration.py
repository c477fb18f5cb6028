"""Makes the authentication that the settings describe, and its authenticators and authorizers."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from polytope_server.accounts.api_keys import APIKeys
from polytope_server.authentication import Authenticator, auth_o_tron
from polytope_server.authentication.api_key import APIKeyAuthenticator
from polytope_server.authentication.cache_entries import CacheEntries
from polytope_server.authentication.federation import Federation
from polytope_server.authentication.manager import Authentication
from polytope_server.authentication.methods import Methods
from polytope_server.authentication.recent_headers import RefusedHeaders, VerifiedHeaders
from polytope_server.authentication.throttle import Throttle
from polytope_server.authentication.verified_users import ForgottenUsers, VerifiedUsers
from polytope_server.authorization import Authorizer
from polytope_server.caching import Cache
from polytope_server.secrets.deployment_key import DeploymentKeys
from polytope_server.settings import (
    ConfigurationError,
    Settings,
    backend_settings,
    backends,
    section_settings,
)
from polytope_server.settings.data import AUTH_O_TRON, NO_REALMS, AuthOTronSettings
from polytope_server.settings.values import parse_duration

_DEFAULT_SECONDS = 60.0


def create_authentication(
    settings: Settings,
    data: Path,
    cache: Cache,
    needed: Collection[str] = (),
    *,
    methods: Methods | None = None,
    clock: Callable[[], float] = time.time,
) -> Authentication:
    """The authentication of a deployment, not yet open. Raises :class:`ConfigurationError`.

    Args:
        settings: The whole configuration.
        data: The folder of embedded back-ends.
        cache: Where verified users are kept; it may be shared by several processes.
        needed: The attributes of users that some data source needs, though they are secrets.
        methods: What log-ins are checked with; by default what the settings name.
        clock: Seconds since the epoch.
    """
    seconds = cache_seconds(settings)
    entries = CacheEntries(partial(DeploymentKeys, settings.secrets, data), needed)
    return Authentication(
        methods=methods or Methods(authenticators(settings, data), authorizers(settings, data)),
        entries=entries,
        users=VerifiedUsers(cache, entries, ForgottenUsers(seconds, clock), seconds, clock),
        verified=VerifiedHeaders(clock),
        refused=RefusedHeaders(clock),
        throttle=Throttle(cache, entries.digest, clock),
    )


def authenticators(settings: Settings, data: Path) -> list[Authenticator]:
    """The authenticators of realms, API keys, federation and auth-o-tron, in this order, not yet open.

    Those that forward credentials to another service come last: it sees none that this server knows itself.
    Raises :class:`ConfigurationError`.
    """
    found: list[Authenticator] = [
        factory(realm, keys, data) for realm, factory, keys in _of_realms("authenticator", settings)
    ]
    keys = settings.api_keys.get("authenticator")
    if keys is not None:
        factory, checked = _chosen("api_key", "api-keys.authenticator", keys)
        store: APIKeys = factory(checked, data)
        found.append(APIKeyAuthenticator("polytope", None, data, store))
    if settings.federation:
        found.append(Federation(settings.federation, data))
    service = settings.authentication.get(AUTH_O_TRON)
    if service is not None:
        checked = section_settings(AuthOTronSettings, service, f"authentication.{AUTH_O_TRON}")
        found += auth_o_tron.authenticators(checked, data)
    return sorted(found, key=lambda authenticator: authenticator.forwards)


def authorizers(settings: Settings, data: Path) -> dict[str, list[Authorizer]]:
    """The authorizers of each realm, in order, not yet open. Raises :class:`ConfigurationError`."""
    found: dict[str, list[Authorizer]] = {}
    for realm, factory, keys in _of_realms("authorizer", settings):
        found.setdefault(realm, []).append(factory(realm, keys, data))
    return found


def cache_seconds(settings: Settings) -> float:
    """For how long a verified credential is remembered."""
    return parse_duration(settings.authentication.get("cache", _DEFAULT_SECONDS))


def _of_realms(concern: str, settings: Settings) -> Iterator[tuple[str, Any, Any]]:
    """Realm, class and settings of each back-end of that concern."""
    for realm, section in settings.authentication.items():
        if realm in NO_REALMS:
            continue
        for name, keys in ((section or {}).get(f"{concern}s") or {}).items():
            yield realm, *_chosen(concern, f"authentication.{realm}.{concern}s.{name}", keys)


def _chosen(concern: str, path: str, keys: Mapping[str, Any]) -> tuple[Any, Any]:
    kind = keys.get("type")
    if not isinstance(kind, str):
        available = ", ".join(backends.names(concern))
        raise ConfigurationError([f"{path}.type: is missing; available: {available}"])
    return backends.load(concern, kind), backend_settings(concern, kind, keys, path)
