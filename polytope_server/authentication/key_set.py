"""The public keys with which a provider signs tokens (a JWKS, RFC 7517), read again as they change."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt import PyJWK

from polytope_server.authentication import AuthenticationUnavailableError
from polytope_server.authentication.outgoing import OutgoingService

logger = logging.getLogger(__name__)

#: Seconds after which the set is read again: that is how long a key that was withdrawn still counts.
_FRESH = 300.0
#: Seconds for which keys count that cannot be read again because the service is down.
_KEPT = 3600.0
#: Seconds between two reads for the sake of keys that are not in the set, or of a service that is down.
_PAUSE = 1.0
_WEAKEST_RSA = 2048

#: None with a shared secret: a server that can check such a token can make one.
Algorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"
]  # fmt: skip
#: The `crv` of the keys of each algorithm; the others take keys of the kind RSA.
_CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521", "EdDSA": "Ed25519"}


@dataclass(frozen=True, slots=True)
class _Key:
    """A key for one algorithm; one that may be used with several is several of these."""

    kid: str | None
    algorithm: str
    key: PyJWK


class FixedKeys:
    """The keys that a configuration has, by kid."""

    def __init__(self, keys: Mapping[str, str]) -> None:
        """`keys` are public RSA keys in PEM, which have been checked."""
        self._keys = {kid: load_pem_public_key(text.encode()) for kid, text in keys.items()}

    async def close(self) -> None:
        """Nothing is open."""

    async def find(self, kid: str, algorithm: str) -> Any:
        """The key of that id, None if there is none; each is for all algorithms of its kind."""
        return self._keys.get(kid)


class KeySet:
    """The keys of one provider; nothing else vouches for a token."""

    def __init__(
        self,
        url: str,
        algorithms: Collection[Algorithm],
        service: OutgoingService,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`algorithms` are those that are accepted; `service` is opened and closed elsewhere."""
        self._url = url
        #: What is accepted; there is nothing to find for others.
        self.algorithms: tuple[str, ...] = tuple(algorithms)
        self._service = service
        #: Seconds that only grow.
        self.clock = clock
        self._keys: list[_Key] = []
        self._read_at = -math.inf
        self._reads = 0
        self._not_before = -math.inf
        self._error: AuthenticationUnavailableError | None = None
        self._reading: asyncio.Task[None] | None = None

    @property
    def is_failing(self) -> bool:
        """Whether the provider could not be read when it was asked last."""
        return self._error is not None

    async def close(self) -> None:
        """Give up what is being read."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    async def find(self, kid: str | None, algorithm: str) -> PyJWK | None:
        """The key of that id for that algorithm; without an id, the only one for it.

        None if there is none, or more than one. Raises :class:`AuthenticationUnavailableError` if it is not
        known, and the set cannot be read now.
        """
        reads = self._reads
        if self.clock() - self._read_at > _FRESH:
            # A service that is down is asked in the background: callers with a known key do not wait for it.
            await self._refresh_set(wait=self._error is None)
        found = self._suitable(kid, algorithm)
        if not found and self._reads == reads:
            await self._refresh_set(pause=_PAUSE)
            found = self._suitable(kid, algorithm)
        if not found and self._error is not None:
            raise AuthenticationUnavailableError(*self._error.args)
        return found[0].key if len(found) == 1 else None

    def _suitable(self, kid: str | None, algorithm: str) -> list[_Key]:
        if self.clock() - self._read_at > _KEPT:
            return []
        return [key for key in self._keys if key.algorithm == algorithm and kid in (None, key.kid)]

    async def _refresh_set(self, *, wait: bool = True, pause: float = 0.0) -> None:
        """Read the set, or join the read that runs, unless the last pause lasts; `pause` is the next one."""
        if self._reading is None:
            now = self.clock()
            if now < self._not_before:
                return
            self._not_before = now + pause
            # A task of its own: that one caller goes away must not end it for the others.
            self._reading = asyncio.create_task(self._read_set())
            self._reading.add_done_callback(self._finish_read)
        if wait:
            await asyncio.shield(self._reading)

    def _finish_read(self, _: asyncio.Task[None]) -> None:
        self._reading = None

    async def _read_set(self) -> None:
        try:
            answer = await self._service.call("GET", self._url)
            keys = _usable(answer.document, self.algorithms) if answer.status == 200 else []
            if not keys:
                reason = f"status {answer.status}, and no key that can be used"
                raise self._service.unavailable(self._url, reason)
        except AuthenticationUnavailableError as error:
            self._error = error
            self._not_before = self.clock() + _PAUSE
        else:
            self._error = None
            self._keys = keys
            self._read_at = self.clock()
            self._reads += 1


def _usable(document: Any, algorithms: Collection[str]) -> list[_Key]:
    """The keys of a JWKS that are for signatures by one of the algorithms; others are left out."""
    listed = document.get("keys") if isinstance(document, dict) else None
    keys = [key for key in listed if isinstance(key, dict)] if isinstance(listed, list) else []
    found = (_parse_key(jwk, algorithm) for jwk in keys for algorithm in algorithms if _fits(jwk, algorithm))
    return [key for key in found if key is not None]


def _fits(jwk: dict[str, Any], algorithm: str) -> bool:
    """Whether a key says that it is a public one for signatures by this algorithm."""
    curve = _CURVES.get(algorithm)
    kind = {None: "RSA", "Ed25519": "OKP"}.get(curve, "EC")
    operations = jwk.get("key_ops", ["verify"])
    return (
        jwk.get("kty") == kind
        and (curve is None or jwk.get("crv") == curve)
        and jwk.get("use", "sig") == "sig"
        and jwk.get("alg", algorithm) == algorithm
        and isinstance(operations, list)
        and "verify" in operations
        # A private key that everybody can read vouches for nothing.
        and "d" not in jwk
    )


def _parse_key(jwk: dict[str, Any], algorithm: str) -> _Key | None:
    kid = jwk["kid"] if isinstance(jwk.get("kid"), str) else None
    try:
        key = PyJWK(jwk, algorithm)
    except Exception as error:
        # Whatever the library has against it: the other keys of the set are not to suffer.
        logger.warning("a provider's key (kid %r) cannot be used for %s: %s", kid, algorithm, error)
        return None
    if algorithm not in _CURVES and key.key.key_size < _WEAKEST_RSA:
        size = key.key.key_size
        logger.warning("a provider's key (kid %r) has %d bits; %d are needed", kid, size, _WEAKEST_RSA)
        return None
    return _Key(kid, algorithm, key)
