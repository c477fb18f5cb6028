"""`polytope-server users`: the users that the section `identity` keeps."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import sys
from pathlib import Path

from polytope_server import accounts
from polytope_server.accounts.api_keys import APIKeys
from polytope_server.accounts.passwords import Passwords
from polytope_server.accounts.users import Identity, InvalidUserError, check_password
from polytope_server.commands.administration import (
    INTERRUPTED,
    REFUSED,
    Command,
    CommandError,
    add_command,
    print_table,
    with_open,
    word,
)
from polytope_server.runtime.process import Part
from polytope_server.settings import Settings
from polytope_server.texts import stamp

#: Characters of a line of standard input that are looked at: more than a password may have.
_LONGEST_LINE = 4096


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `users` and its sub-commands."""
    parser = subparsers.add_parser("users", help="manage the users that the server keeps (identity)")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_command(commands, "list", "list all users: name, roles, time of creation", _list_users)
    add = add_command(
        commands,
        "add",
        "add a user (keys of that name end); the password is asked for, or read from stdin",
        _add_user,
    )
    add.add_argument("--role", type=word, action="append", default=[], dest="roles", help="may be repeated")
    passwd = add_command(
        commands, "passwd", "set a password; it is asked for, or read from stdin", _set_password
    )
    remove = add_command(commands, "remove", "remove a user, and end the user's API keys", _remove_user)
    roles = add_command(commands, "roles", "replace the roles of a user", _set_roles)
    for command in (add, passwd, remove, roles):
        command.add_argument("username", type=word)
    roles.add_argument("roles", type=word, nargs="*", help="the new roles; none takes all away")
    text = "print the argon2 hash of a password, for `plain` and `extra-users`; asked for, or read from stdin"
    hashing = commands.add_parser("hash", help=text, description=text)
    hashing.set_defaults(run=_print_hash)


def _list_users(options: argparse.Namespace, settings: Settings, data: Path) -> Command:
    identity = _make_identity(settings, data)

    async def work() -> None:
        users = await identity.list_users()
        rows = ((user["username"], ",".join(user["roles"]), stamp(user["created"])) for user in users)
        print_table(("user", "roles", "created"), rows)

    return with_open([identity], work)


def _add_user(options: argparse.Namespace, settings: Settings, data: Path) -> Command:
    identity, keys = _make_identity(settings, data), accounts.create_api_keys(settings, data)
    password = _ask_for_password()
    return with_open(
        _join_parts(identity, keys),
        lambda: accounts.add_user(identity, keys, options.username, password, options.roles),
    )


def _set_password(options: argparse.Namespace, settings: Settings, data: Path) -> Command:
    identity = _make_identity(settings, data)
    password = _ask_for_password()
    return with_open([identity], lambda: identity.set_password(options.username, password))


def _remove_user(options: argparse.Namespace, settings: Settings, data: Path) -> Command:
    identity, keys = _make_identity(settings, data), accounts.create_api_keys(settings, data)
    return with_open(
        _join_parts(identity, keys), lambda: accounts.remove_user(identity, keys, options.username)
    )


def _set_roles(options: argparse.Namespace, settings: Settings, data: Path) -> Command:
    identity = _make_identity(settings, data)
    return with_open([identity], lambda: identity.set_roles(options.username, options.roles))


def _print_hash(_: argparse.Namespace) -> int:
    """Unlike the other commands it needs no configuration: the hash is made for one."""
    try:
        password = _ask_for_password()
        check_password(password)
    except (CommandError, InvalidUserError) as error:
        print(error, file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt:
        return INTERRUPTED
    print(asyncio.run(Passwords().hash(password)))
    return 0


def _join_parts(identity: Identity, keys: APIKeys | None) -> list[Part]:
    return [identity] if keys is None else [identity, keys]


def _make_identity(settings: Settings, data: Path) -> Identity:
    identity = accounts.create_users(settings, data)
    if identity is None:
        raise CommandError("identity: is not configured, so the server keeps no users")
    return identity


def _ask_for_password() -> str:
    """A password that is typed twice, or else the first line of standard input; never an argument."""
    if not sys.stdin.isatty():
        try:
            return sys.stdin.readline(_LONGEST_LINE).rstrip("\r\n")
        except UnicodeDecodeError:
            raise CommandError("the password on standard input is not valid Unicode") from None
    try:
        password = getpass.getpass("Password: ")
        if getpass.getpass("Once more: ") != password:
            raise CommandError("the two passwords differ")
    except EOFError:
        raise CommandError("no password was given") from None
    return password
