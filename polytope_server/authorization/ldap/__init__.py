"""Roles from an LDAP directory: the groups of users who are authenticated already."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from ldap3.core.exceptions import LDAPException
from ldap3.utils.conv import escape_filter_chars

from polytope_server.accounts.errors import AuthenticationUnavailableError
from polytope_server.accounts.pool import BoundedPool
from polytope_server.authorization import Authorizer, AuthorizerSettings, NoSuchUserError
from polytope_server.authorization.ldap.directory import Directory, DirectoryError, Entry, Found, Session
from polytope_server.authorization.ldap.settings import PLACEHOLDER, LDAPSettings
from polytope_server.user import User

logger = logging.getLogger(__name__)

_UNAVAILABLE = "The service that knows the groups of users cannot be reached at the moment"
#: Log-ins that may wait for one of the connections.
_LIMIT = 256
_LONGEST_NAME = 256
_LONGEST_VALUE = 1024
#: Bounds on groups of groups: how deep, and how many groups in all.
_DEEPEST = 10
_MOST_GROUPS = 1000
#: LDAP_MATCHING_RULE_IN_CHAIN of Active Directory: members, members of groups that are members, and so on.
_IN_CHAIN = "1.2.840.113556.1.4.1941"
#: `attribute=value` in a DN (RFC 4514): a comma ends the first name, a plus leads to another part of it.
_NAME_PART = re.compile(r"([A-Za-z][A-Za-z0-9-]*|[0-9.]+)=((?:[^,+\\]|\\.)*)([,+]|$)", re.DOTALL)
_ESCAPED = re.compile(rb"\\([0-9A-Fa-f]{2}|.)", re.DOTALL)

_Granted = tuple[list[str], dict[str, str]]


class LDAPAuthorizer(Authorizer):
    """Groups become roles, and chosen attributes of the directory attributes of the user."""

    Settings: ClassVar[type[AuthorizerSettings]] = LDAPSettings
    settings: LDAPSettings

    def __init__(self, realm: str, settings: LDAPSettings, data: Path) -> None:
        super().__init__(realm, settings, data)
        self._directory: Directory | None = None
        self._pool: BoundedPool | None = None
        self.knows_all_users = settings.all_users

    async def open(self) -> None:
        """Get ready; the server need not run. Raises OSError if `ca_file` cannot be read any more."""
        self._directory = await asyncio.to_thread(Directory, self.settings)
        self._pool = BoundedPool("ldap", self.settings.connections, _LIMIT)

    async def close(self) -> None:
        if self._pool is not None:
            self._pool.close()
            self._pool = None
        if self._directory is not None:
            self._directory.close()

    async def roles(self, user: User) -> _Granted:
        name = self._name(user)
        if name is None:
            return [], {}
        if self._pool is None or self._directory is None:
            raise AuthenticationUnavailableError(_UNAVAILABLE)
        # The wait for a connection counts, too: a look-up whose caller has given up is not begun.
        deadline = time.monotonic() + self.settings.timeout
        work = partial(self._directory.ask, partial(self._granted, name), deadline)
        try:
            async with asyncio.timeout(self.settings.timeout):
                granted = await self._pool.run(work)
        except AuthenticationUnavailableError:
            raise
        except TimeoutError:
            reason = "no answer in time"
        except (DirectoryError, LDAPException, OSError) as error:
            reason = str(error) or type(error).__name__
        except Exception as error:
            # ldap3 decodes whatever it gets, and fails in as many ways.
            reason = f"an answer that is no LDAP ({type(error).__name__})"
        else:
            if granted is None and self.settings.all_users:
                raise NoSuchUserError(user.username)
            return granted or ([], {})
        logger.error("LDAP server %s of the realm %s: %s", self.settings.url, self.realm, reason)
        raise AuthenticationUnavailableError(_UNAVAILABLE)

    def _name(self, user: User) -> str | None:
        """The name to look for; None if the directory cannot know it."""
        path = self.settings.username_attribute
        name = user.username if path is None else _attribute(user.attributes, path)
        return name if name and len(name) <= _LONGEST_NAME and _is_text(name) else None

    def _granted(self, name: str, session: Session) -> _Granted | None:
        """What the user of that name gets, None if there is no such user."""
        found = self._found(session, name)
        if found.complete and not found.entries:
            return None
        entry = self._chosen(found, name)
        if entry is None:
            return [], {}
        groups = [group for group in self._groups(session, entry) if self.settings.filter in group]
        roles = dict.fromkeys(role for group in groups if (role := role_of(group)))
        return list(roles), self._attributes(entry)

    def _found(self, session: Session, name: str) -> Found:
        """What the directory takes for the user of this name."""
        settings = self.settings
        compared = [attribute for attribute, _ in settings.comparisons()]
        wanted = [settings.group_attribute, *settings.attributes.values(), *compared]
        filter_ = settings.user_filter.replace(PLACEHOLDER, escape_filter_chars(name))
        return session.search(settings.search_base, filter_, list(dict.fromkeys(wanted)), most=2)

    def _chosen(self, found: Found, name: str) -> Entry | None:
        """The entry of the user of exactly this name; None if it is another's, or there are several."""
        settings = self.settings
        if len(found.entries) > 1 or not found.complete:
            logger.error("%s has more than one entry for the user %r, who gets no roles", settings.url, name)
            return None
        for entry in found.entries:
            # Most attributes are compared without regard to case and spaces, but `Alice` is not `alice` here.
            if any(
                text.replace(PLACEHOLDER, name) in entry.of(attr) for attr, text in settings.comparisons()
            ):
                return entry
            logger.warning("%s spells the user %r differently, who gets no roles", settings.url, name)
        return None

    def _groups(self, session: Session, entry: Entry) -> list[str]:
        direct = entry.of(self.settings.group_attribute)
        if self.settings.nested_groups == "follow":
            return self._followed(session, direct)
        if self.settings.nested_groups == "in-chain":
            return list(dict.fromkeys([*direct, *self._in_chain(session, entry.dn)]))
        return direct

    def _followed(self, session: Session, direct: list[str]) -> list[str]:
        """The groups, and those that they are members of."""
        found = {group.casefold(): group for group in direct}
        level, reads = list(found.values()), 0
        for _ in range(_DEEPEST):
            above: list[str] = []
            for group in level:
                if reads >= _MOST_GROUPS:
                    self._warn_incomplete(f"more than {_MOST_GROUPS} groups")
                    return list(found.values())
                reads += 1
                for parent in session.read(group, self.settings.group_attribute):
                    if parent.casefold() not in found:
                        found[parent.casefold()] = parent
                        above.append(parent)
            level = above
        if level:
            self._warn_incomplete(f"groups nested more than {_DEEPEST} deep")
        return list(found.values())

    def _in_chain(self, session: Session, dn: str) -> list[str]:
        """The groups that Active Directory finds for a user."""
        base = self.settings.group_search_base or self.settings.search_base
        filter_ = f"(member:{_IN_CHAIN}:={escape_filter_chars(dn)})"
        found = session.search(base, filter_, ["cn"], most=_MOST_GROUPS)
        if not found.complete:
            self._warn_incomplete(f"more than {len(found.entries)} groups")
        return [entry.dn for entry in found.entries]

    def _warn_incomplete(self, why: str) -> None:
        logger.warning("%s: a user of %s has %s, and may lack roles", self.settings.url, self.realm, why)

    def _attributes(self, entry: Entry) -> dict[str, str]:
        chosen = {}
        for name, attribute in self.settings.attributes.items():
            value = next(iter(entry.of(attribute)), "")
            if value and len(value) <= _LONGEST_VALUE and value.isprintable():
                chosen[name] = value
        return chosen


def role_of(group: str) -> str | None:
    """The role of a group: the CN of its DN, None if it has none; what is no DN is a role itself."""
    # Not by ldap3's parse_dn, which refuses DNs that servers give out (`cn=of #1`).
    part = _NAME_PART.match(group)
    if part is None:
        return group
    while part is not None:
        attribute, value, separator = part.groups()
        if attribute.lower() == "cn":
            return _unescaped(value)
        part = _NAME_PART.match(group, part.end()) if separator == "+" else None
    return None


def _unescaped(value: str) -> str:
    def character(match: re.Match[bytes]) -> bytes:
        found = match[1]
        return bytes.fromhex(found.decode()) if len(found) == 2 else found

    return _ESCAPED.sub(character, value.encode()).decode(errors="replace")


def _attribute(attributes: Mapping[str, str], path: str) -> str | None:
    """The text at a path into the attributes of a user. The name of an attribute may hold dots itself."""
    if path in attributes:
        return attributes[path]
    name, _, rest = path.partition(".")
    try:
        value: Any = json.loads(attributes.get(name, ""))
    except (ValueError, RecursionError):
        return None
    for part in rest.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value if isinstance(value, str) else None


def _is_text(name: str) -> bool:
    """Whether a name can be sent: half of a surrogate pair cannot."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
