"""Keys of the ECMWF web API."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

from pydantic import Field

from polytope_server.authentication import AuthenticatorSettings
from polytope_server.authentication.names import is_name
from polytope_server.authentication.outgoing import (
    Answer,
    BaseAddress,
    OutgoingService,
    ServiceAuthenticator,
    Timeout,
    unencrypted,
)
from polytope_server.user import User

_UNAVAILABLE = "The service that knows ECMWF API keys cannot be reached at the moment"


class ECMWFAPISettings(AuthenticatorSettings):
    """Keys of the authenticator `ecmwfapi`."""

    url: BaseAddress = Field(description="Base of the service, for example `https://api.ecmwf.int/v1`.")
    status_url: str | None = Field(None, description="Key of the earlier server; no effect.")
    timeout: Timeout = 10.0
    token_in: Literal["query", "header"] = Field(
        "query",
        description=(
            "How the key travels: `query` as `?token=`, as the service of ECMWF expects it; `header` as "
            "`Authorization: Bearer`, which is in no log of a proxy."
        ),
    )

    def warnings(self) -> list[str]:
        return unencrypted(self.url, "keys travel to url without encryption")


class _Owner(NamedTuple):
    uid: str
    email: str


class ECMWFAPIAuthenticator(ServiceAuthenticator):
    """`EmailKey <e-mail>:<key>`: the service says whose key it is; the e-mail must be that person's."""

    Settings: ClassVar[type[AuthenticatorSettings]] = ECMWFAPISettings
    scheme = "EmailKey"
    hint = "E-mail and key of your ECMWF account"

    def __init__(self, realm: str, settings: ECMWFAPISettings, data: Path) -> None:
        super().__init__(realm, settings, data, OutgoingService(_UNAVAILABLE, settings.timeout))
        self._url = f"{settings.url}/who-am-i"
        self._in_header = settings.token_in == "header"  # noqa: S105 -- no password, but where it travels

    async def authenticate(self, credentials: str) -> User | None:
        email, _, key = credentials.partition(":")
        if not email or not key:
            return None
        owner = await self._request_owner(key)
        if owner is None or owner.email.casefold() != email.casefold():
            return None
        attributes = {"ecmwf-email": owner.email, "ecmwf-apikey": key}
        return User(owner.uid, self.realm, attributes=attributes)

    async def _request_owner(self, key: str) -> _Owner | None:
        options: dict[str, Any] = (
            {"headers": {"Authorization": f"Bearer {key}"}} if self._in_header else {"params": {"token": key}}
        )
        answer = await self._service.call("GET", self._url, **options)
        if answer.status in (401, 403):
            return None
        owner = _parse_owner(answer)
        if answer.status != 200 or owner is None:
            raise self._service.unavailable(self._url, f"status {answer.status}")
        return owner


def _parse_owner(answer: Answer) -> _Owner | None:
    """Who it names; None if it is something else."""
    uid, email = answer.text("uid"), answer.text("email")
    return _Owner(uid, email) if uid and email and is_name(uid) and is_name(email) else None
