"""Finds the secrets of a configuration, and hides them wherever it is shown or logged."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import BaseModel, SecretBytes, SecretStr

from polytope_server.redaction import MASK, is_secret, may_be_secret

_USER_INFO = re.compile(r"(\w[\w+.-]*://)[^/\s]*@")
_PARAMETER = re.compile(r"(?<=[?&])([^=&\s]*)=[^&\s]*")


def mask(mapping: Mapping[str, Any], known: Collection[str] = ()) -> dict[str, Any]:
    """A copy with `***` in place of secrets: values of secret keys, and credentials inside of addresses.

    Values that are among those `known` to be secret are hidden, too, whatever their keys.
    """
    return {key: mask_value(value, is_secret(key), known) for key, value in mapping.items()}


def mask_value(value: Any, secret: bool = False, known: Collection[str] = ()) -> Any:
    """The same for one value; `secret` says whether it belongs to a secret key."""
    if isinstance(value, Mapping):
        return {key: mask_value(item, secret or is_secret(key), known) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [mask_value(item, secret, known) for item in value]
    if value in known or (secret and value is not None and not isinstance(value, bool)):
        return MASK
    if isinstance(value, str):
        return _PARAMETER.sub(_mask_parameter, _USER_INFO.sub(rf"\1{MASK}@", value))
    return value


def _mask_parameter(parameter: re.Match[str]) -> str:
    return f"{parameter[1]}={MASK}" if may_be_secret(parameter[1]) else parameter[0]


def secrets_of(value: Any, secret: bool = False) -> Iterator[str]:
    """The secrets within a value, as they are written there and as they are used.

    The log hides these. Of parameters of addresses they are fewer than :func:`mask_value` hides: the path of
    a key's file (`sslkey`), say, is needed there.
    """
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from secrets_of(item, secret or is_secret(key))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from secrets_of(item, secret)
    elif secret and value is not None and not isinstance(value, bool):
        # Of `Bearer <token>`, the value of a header, both the whole and the token.
        yield from {str(value), str(value).rpartition(" ")[2]}
    elif isinstance(value, str) and "://" in value:
        yield from _secrets_of_address(value)


def _secrets_of_address(address: str) -> Iterator[str]:
    user_info = address.partition("://")[2].rpartition("@")[0]
    password = user_info.partition(":")[2]
    yield from filter(None, (password, unquote(password)))
    try:
        query = urlsplit(address).query
    except ValueError:
        return
    yield from (text for name, text in parse_qsl(query) if is_secret(name))


def typed_secrets(value: Any) -> Iterator[str]:
    """The values of all fields of type SecretStr or SecretBytes in a section, whatever their names."""
    if isinstance(value, SecretStr):
        yield value.get_secret_value()
    elif isinstance(value, SecretBytes):
        yield value.get_secret_value().decode(errors="replace")
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from typed_secrets(getattr(value, name))
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from typed_secrets(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from typed_secrets(item)
