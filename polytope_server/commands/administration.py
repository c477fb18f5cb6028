"""What the commands have in common: they open what they need, do one thing, and say what went wrong."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from polytope_server.accounts.api_keys import InvalidExpiryError, RealmNotAllowedError
from polytope_server.accounts.users import InvalidUserError, UnknownUserError, UserExistsError
from polytope_server.commands.options import add_data, add_files
from polytope_server.config import load
from polytope_server.drivers.schema_version import IncompatibleSchemaError
from polytope_server.runtime import data_folder
from polytope_server.runtime.process import Part
from polytope_server.runtime.unavailable import UnavailableError
from polytope_server.settings import Settings

#: Exit statuses; argparse ends a wrong command line with 2.
REFUSED, UNAVAILABLE, INTERRUPTED = 1, 3, 130
Command = Coroutine[Any, Any, None]
#: From the parsed arguments, the settings, and the folder of embedded back-ends: what is to be awaited.
#: Prompts come before that: within an event loop Ctrl-C would not reach them.
Work = Callable[[argparse.Namespace, Settings, Path], Command]


class CommandError(Exception):
    """The command failed; the message is for the operator."""


_REFUSALS = (
    CommandError,
    InvalidExpiryError,
    InvalidUserError,
    RealmNotAllowedError,
    UnknownUserError,
    UserExistsError,
    IncompatibleSchemaError,
)


def add_command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str, work: Work
) -> argparse.ArgumentParser:
    """Add a command, which sets `run` as the other commands of `polytope-server` do."""
    parser = commands.add_parser(name, help=text, description=text)
    add_files(parser)
    add_data(parser)
    parser.set_defaults(run=lambda options: _run_command(options, work))
    return parser


def word(text: str) -> str:
    """An argument that databases and answers can hold; for argparse."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise argparse.ArgumentTypeError("is not valid Unicode") from None
    return text


async def with_open(parts: Sequence[Part], work: Callable[[], Awaitable[None]]) -> None:
    """Do something while these back-ends are open. One that cannot be reached is not tried again."""
    async with AsyncExitStack() as stack:
        for part in parts:
            await part.open()
            stack.push_async_callback(part.close)
        await work()


def print_table(titles: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    """Lines of columns that tabs separate, the first of them the titles."""
    for row in (titles, *rows):
        print("\t".join(row))


def _run_command(options: argparse.Namespace, work: Work) -> int:
    # Embedded back-ends are for this account only.
    os.umask(0o077)
    try:
        data = data_folder.prepare(options.data)
    except OSError as error:
        return _report_failure(f"cannot use the data folder {options.data}: {error.strerror}", REFUSED)
    settings = load(options.files).settings
    try:
        asyncio.run(work(options, settings, data))
    except _REFUSALS as error:
        return _report_failure(str(error), REFUSED)
    except UnavailableError as error:
        return _report_failure(str(error), UNAVAILABLE)
    except KeyboardInterrupt:
        return _report_failure("", INTERRUPTED)
    return 0


def _report_failure(message: str, status: int) -> int:
    print(message, file=sys.stderr)
    return status
