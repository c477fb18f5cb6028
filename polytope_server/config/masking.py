"""Hides what is secret in a configuration, for whatever shows or logs it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

MASK = "***"
_SECRET_NAME = re.compile(
    r"passw|passphrase|secret|token|api_?key$|apikey|credential|authorization|(^|_)(key|pwd|cookie)$"
)
_USER_INFO = re.compile(r"(\w[\w+.-]*://)[^/\s]*@")
_QUERY = re.compile(r"([?&][^=&\s]*(?:passw|secret|token|key)[^=&\s]*=)[^&\s]*", re.IGNORECASE)


def is_secret(name: object) -> bool:
    """Whether the value of a key of that name is a secret. `api-keys`, a section, is none."""
    return bool(_SECRET_NAME.search(str(name).lower().replace("-", "_")))


def mask(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """A copy with `***` in place of secrets: values of secret keys, and credentials inside of addresses."""
    return {key: mask_value(value, is_secret(key)) for key, value in mapping.items()}


def mask_value(value: Any, secret: bool = False) -> Any:
    """One value likewise; `secret` says whether the key that it belongs to is a secret one."""
    if isinstance(value, Mapping):
        return {key: mask_value(item, secret or is_secret(key)) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [mask_value(item, secret) for item in value]
    if secret and value is not None and not isinstance(value, bool):
        return MASK
    if isinstance(value, str):
        return _QUERY.sub(rf"\1{MASK}", _USER_INFO.sub(rf"\1{MASK}@", value))
    return value
