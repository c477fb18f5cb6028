"""What a data source says about the requests that it serves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from polytope_server.roles import Roles

ImpliedKeys = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""Is given a request, and says what else it asks for: keys and values as if they stood in it.

RequestError for a request that cannot be read.
"""

Spelling = Callable[[str, str], str]
"""Brings a value of a key into one spelling, the same for all texts that mean the same to a data source."""


@dataclass(frozen=True)
class SourceRules:
    """What a data source's section says about the requests that it serves.

    `roles`: realm -> roles, or roles of any realm; empty admits every user. `accepts_feature`: true for type
    polytope, whose requests must have a `feature`; those of all other types must not. `accepts_mappings`:
    whether values may be mappings. `aliases`: other names of keys, by which requests, `match`, `defaults` and
    `patch` may call them. `implied`: what a request asks for elsewhere than in its keys; every rule judges it
    as if it stood there. `spelling`: how values of rules and requests are compared; by default as texts.
    """

    roles: Roles = ()
    match: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    patch: Mapping[str, Any] = field(default_factory=dict)
    accepts_feature: bool = False
    accepts_mappings: bool = False
    aliases: Mapping[str, str] = field(default_factory=dict)
    implied: ImpliedKeys | None = None
    spelling: Spelling | None = None
