"""Keys of the ECMWF web API."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from polytope_server.authentication import Authenticator, AuthenticatorSettings
from polytope_server.authentication.outgoing import Address, OutgoingService
from polytope_server.user import User

_UNAVAILABLE = "The service that knows ECMWF API keys cannot be reached at the moment"


class ECMWFAPISettings(AuthenticatorSettings):
    """Keys of the authenticator `ecmwfapi`."""

    url: Address = Field(description="Base of the service, for example `https://api.ecmwf.int/v1`.")
    status_url: str | None = Field(None, description="Key of the earlier server; no effect.")
    timeout: float = Field(10.0, gt=0, le=300, description="Seconds after which the service counts as down.")
    token_in: Literal["query", "header"] = Field(
        "query",
        description=(
            "How the key travels: `query` as `?token=`, as the service of ECMWF expects it; `header` as "
            "`Authorization: Bearer`, which is in no log of a proxy."
        ),
    )


class ECMWFAPIAuthenticator(Authenticator):
    """`EmailKey <e-mail>:<key>`: the service says whose key it is; the e-mail must be that person's."""

    Settings: ClassVar[type[AuthenticatorSettings]] = ECMWFAPISettings
    scheme = "EmailKey"
    hint = "E-mail and key of your ECMWF account"

    def __init__(self, realm: str, settings: ECMWFAPISettings, data: Path) -> None:
        super().__init__(realm, settings, data)
        self._url = f"{settings.url}/who-am-i"
        self._in_header = settings.token_in == "header"  # noqa: S105 -- no password, but where it travels
        self._service = OutgoingService(_UNAVAILABLE, settings.timeout)

    async def open(self) -> None:
        await self._service.open()

    async def close(self) -> None:
        await self._service.close()

    async def authenticate(self, credentials: str) -> User | None:
        email, _, key = credentials.partition(":")
        if not email or not key:
            return None
        owner = await self._who_is(key)
        if owner is None or owner["email"].casefold() != email.casefold():
            return None
        attributes = {"ecmwf-email": owner["email"], "ecmwf-apikey": key}
        return User(owner["uid"], self.realm, attributes=attributes)

    async def _who_is(self, key: str) -> dict[str, str] | None:
        options: dict[str, Any] = (
            {"headers": {"Authorization": f"Bearer {key}"}} if self._in_header else {"params": {"token": key}}
        )
        answer = await self._service.call("GET", self._url, **options)
        if answer.status in (401, 403):
            return None
        owner = _owner(answer.document) if answer.status == 200 else None
        if owner is None:
            raise self._service.unavailable(self._url, f"status {answer.status}")
        return owner


def _owner(found: Any) -> dict[str, str] | None:
    """`uid` and `email` of an answer; None if it is something else."""
    if not isinstance(found, dict):
        return None
    owner = {key: found.get(key) for key in ("uid", "email")}
    if not all(isinstance(value, str) and value and value.isprintable() for value in owner.values()):
        return None
    return {key: str(value) for key, value in owner.items()}
