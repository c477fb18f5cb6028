"""Keys of the authorizer `ldap`, checked."""

from __future__ import annotations

import re
import ssl
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from ldap3.core.exceptions import LDAPException
from ldap3.operation.search import parse_filter
from pydantic import AfterValidator, Field, SecretStr, field_validator, model_validator

from polytope_server.authorization import AuthorizerSettings
from polytope_server.settings.addresses import is_server, server_in

#: Stands for the name of the user in `user_filter`.
PLACEHOLDER = "{username}"
#: A part of a filter that compares an attribute with a value: `(uid=...)`, `(uid:caseExactMatch:=...)`.
_COMPARISON = re.compile(r"\(([A-Za-z][\w;-]*)(?::[\w.]+:)?=([^()*]*)\)")


def _address(url: str) -> str:
    """The address as `ldap://HOST:PORT`; earlier servers took a host alone, too."""
    full = url if "://" in url else f"ldap://{url}"
    parts = urlsplit(full)
    if parts.scheme not in ("ldap", "ldaps") or not is_server(server_in(full).rpartition("@")[2]):
        raise ValueError("an address is ldap://HOST or ldaps://HOST, with :PORT if need be")
    if "@" in parts.netloc or parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError("the address names a host and a port only; the rest has keys of its own")
    name = parts.hostname or ""
    host = f"[{name}]" if ":" in name else name
    return f"{parts.scheme}://{host}:{parts.port or (636 if parts.scheme == 'ldaps' else 389)}"


def _filter(text: str) -> str:
    if not any(PLACEHOLDER in value for _, value in _COMPARISON.findall(text)):
        raise ValueError(f"must compare an attribute with {PLACEHOLDER}, for example (uid={PLACEHOLDER})")
    try:
        parse_filter(text.replace(PLACEHOLDER, "x"), None, False, False, None, False)  # type: ignore[no-untyped-call]
    except LDAPException:
        raise ValueError("is no LDAP filter, for example (&(objectClass=person)(uid={username}))") from None
    return text


def _certificates(file: Path) -> Path:
    try:
        ssl.create_default_context(cafile=file)
    except (OSError, ValueError) as error:  # an SSLError is an OSError
        raise ValueError(f"holds no certificates that can be read ({type(error).__name__})") from None
    return file


_AttributeName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9-]*(;[A-Za-z0-9-]+)*$")]


class LDAPSettings(AuthorizerSettings):
    """Keys of the authorizer `ldap`."""

    url: Annotated[str, AfterValidator(_address)] = Field(
        description="Address of the server: `ldap://HOST` or `ldaps://HOST`, with `:PORT` if need be."
    )
    search_base: str = Field(min_length=1, description="DN below which users are looked for.")
    user_filter: Annotated[str, AfterValidator(_filter)] = Field(
        f"(&(objectClass=person)(cn={PLACEHOLDER}))",
        description="LDAP filter that finds a user. `{username}` stands for the name; the attribute that is "
        "compared with it must hold the very same text, upper and lower case too.",
    )
    filter: str = Field("", description="Text that the DN of a group must hold to become a role.")
    ldap_user: str | None = Field(
        None,
        description="Account that binds: a full DN, or another name that the server accepts; by default none "
        "(anonymous).",
    )
    ldap_password: SecretStr | None = Field(None, description="The password of `ldap_user`.")
    username_attribute: str | None = Field(
        None,
        alias="username-attribute",
        min_length=1,
        description="Attribute of the user (of the authenticator, or of an authorizer before) that holds the "
        "name to look for. A path (`claims.uid`) leads into an attribute that is a JSON object.",
    )
    group_attribute: _AttributeName = Field(
        "memberOf",
        description="Attribute of users that names their groups: by DN, of which the CN is the role.",
    )
    nested_groups: Literal["follow", "in-chain"] | None = Field(
        None,
        description="Whether groups of groups count: `follow` reads `group_attribute` of each group; "
        "`in-chain` asks Active Directory, which finds them itself (LDAP_MATCHING_RULE_IN_CHAIN).",
    )
    group_search_base: str | None = Field(
        None,
        min_length=1,
        description="DN below which `in-chain` looks for groups; by default `search_base`.",
    )
    all_users: bool = Field(
        True,
        description="Whether every user of the realm has an entry: API keys of one who has none are refused.",
    )
    attributes: dict[str, _AttributeName] = Field(
        default_factory=dict,
        description="Attributes for the user: name here, and name in the directory. The first value counts.",
    )
    start_tls: bool = Field(False, description="Whether to encrypt connections to `ldap://` by StartTLS.")
    ca_file: Annotated[Path, AfterValidator(_certificates)] | None = Field(
        None, description="Certificates (PEM) of the authorities to trust; by default those of the system."
    )
    verify: bool = Field(True, description="Whether to check the certificate of the server.")
    timeout: float = Field(
        10.0, gt=0, le=300, description="Seconds after which a look-up, connecting included, is given up."
    )
    connections: int = Field(
        4, ge=1, le=64, description="Connections of one process, and look-ups at a time."
    )

    @field_validator("ldap_user", "ldap_password", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.ldap_user is None) != (self.ldap_password is None):
            # A server takes a DN without password for an anonymous bind, which looks like a success.
            raise ValueError("'ldap_user' and 'ldap_password' belong together: give both, or none")
        if self.start_tls and self.url.startswith("ldaps://"):
            raise ValueError("'start_tls' is for ldap:// only; ldaps:// is encrypted from the start")
        return self

    @property
    def encrypted(self) -> bool:
        """Whether nothing but the hand-shake is readable on the network."""
        return self.start_tls or self.url.startswith("ldaps://")

    def comparisons(self) -> list[tuple[str, str]]:
        """The attributes that the filter compares with the user's name, and with what text around it."""
        return [
            (name, value) for name, value in _COMPARISON.findall(self.user_filter) if PLACEHOLDER in value
        ]

    def warnings(self) -> list[str]:
        found = []
        if self.ldap_password is not None and not self.encrypted:
            found.append("the password travels in clear text: use ldaps://, or set start_tls")
        if self.encrypted and not self.verify:
            found.append(
                "the certificate of the server is not checked: anybody can give out roles in its name"
            )
        if self.ldap_user is not None and not any(mark in self.ldap_user for mark in "=@\\"):
            found.append(
                "ldap_user is no DN such as CN=polytope,OU=services,DC=example,DC=org; it is sent as it is, "
                "where earlier servers put it into a DN of ECMWF"
            )
        return found
