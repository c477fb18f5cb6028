"""`polytope-server keys`: the API keys of any user, in what the section `api-keys` names."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from polytope_server import accounts
from polytope_server.accounts.api_keys import APIKeys, KeyEntry
from polytope_server.commands.administration import (
    Command,
    CommandError,
    add_command,
    print_table,
    with_open,
    word,
)
from polytope_server.settings import Settings
from polytope_server.texts import stamp
from polytope_server.user import User

_TITLES = ("prefix", "created", "expires", "last used")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `keys` and its sub-commands."""
    parser = subparsers.add_parser("keys", help="manage API keys of users (api-keys)")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    create = add_command(commands, "create", "print a new API key of a user, this once", _create_key)
    create.add_argument("--expiry", type=int, metavar="DAYS", help="days until it ends (default: the most)")
    listing = add_command(commands, "list", "list API keys of a user or realm: prefix and times", _list_keys)
    revoke = add_command(commands, "revoke", "end API keys of a user, or all of a realm", _revoke_keys)
    for command in (create, listing, revoke):
        command.add_argument(
            "--realm", type=word, help="the realm of the user (default: that of the identity)"
        )
    create.add_argument("username", type=word)
    for command in (listing, revoke):
        command.add_argument(
            "username", type=word, nargs="?", help="without one: the keys of all users of --realm"
        )
        command.set_defaults(refuse=command.error)
    revoke.add_argument("prefix", type=word, nargs="?", help="as `keys list` shows it, or `all`")


def _create_key(options: argparse.Namespace, settings: Settings, data: Path) -> Command:
    keys, owner = _make_store(settings, data), _find_owner(options, settings, data)

    async def work() -> None:
        made = await keys.create(owner, options.expiry)
        print(made.key)
        print(f"It ends {stamp(made.expires.timestamp())}, and cannot be shown again.", file=sys.stderr)

    return with_open([keys], work)


def _list_keys(options: argparse.Namespace, settings: Settings, data: Path) -> Command:
    keys = _make_store(settings, data)
    if options.username is None:
        realm = _require_realm(options)
        return with_open([keys], lambda: _list_realm(keys, realm))
    owner = _find_owner(options, settings, data)

    async def work() -> None:
        print_table(_TITLES, map(_format_row, await keys.list_keys(owner)))

    return with_open([keys], work)


async def _list_realm(keys: APIKeys, realm: str) -> None:
    with _refusing_unsupported():
        print_table((*_TITLES, "user"), ())
        async for key in keys.list_realm(realm):
            print("\t".join((*_format_row(key), key["username"])))


def _revoke_keys(options: argparse.Namespace, settings: Settings, data: Path) -> Command:
    keys = _make_store(settings, data)
    if options.username is None:
        realm = _require_realm(options)
        return with_open([keys], lambda: _revoke_realm(keys, realm))
    owner = _find_owner(options, settings, data)
    if options.prefix is None:
        options.refuse("which key? Give a prefix, as `keys list` shows it, or `all`")

    async def work() -> None:
        if options.prefix == "all":
            await keys.revoke_all(owner)
        elif not await keys.revoke(owner, options.prefix):
            # What was given is not repeated: it may be a whole key.
            raise CommandError(f"no API key of {owner.username} (realm {owner.realm}) has that prefix")

    return with_open([keys], work)


async def _revoke_realm(keys: APIKeys, realm: str) -> None:
    with _refusing_unsupported():
        print(f"{await keys.revoke_realm(realm)} API keys of the realm {realm} have ended", file=sys.stderr)


@contextmanager
def _refusing_unsupported() -> Iterator[None]:
    try:
        yield
    except NotImplementedError:
        raise CommandError("api-keys.generator: this store works on the keys of one user at a time") from None


def _format_row(key: KeyEntry) -> tuple[str, str, str, str]:
    return key["prefix"], stamp(key["created"]), stamp(key["expires"]), _format_use(key["last_used"])


def _require_realm(options: argparse.Namespace) -> str:
    """The realm that is meant as a whole: never one that was not named."""
    if options.realm is None:
        options.refuse("whose keys? Give a user, or --realm for all users of a realm")
    return str(options.realm)


def _format_use(seconds: float | None) -> str:
    return "never" if seconds is None else stamp(seconds)


def _make_store(settings: Settings, data: Path) -> APIKeys:
    keys = accounts.create_api_keys(settings, data)
    if keys is None:
        raise CommandError("api-keys.generator: is not configured, so there are no API keys")
    return keys


def _find_owner(options: argparse.Namespace, settings: Settings, data: Path) -> User:
    if options.realm is not None:
        return User(options.username, options.realm)
    identity = accounts.create_users(settings, data)
    if identity is None:
        raise CommandError("--realm: is missing: there is no identity whose realm could be meant")
    return User(options.username, identity.realm)
