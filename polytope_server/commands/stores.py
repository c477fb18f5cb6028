"""`polytope-server store`: the versions of what the stores of a deployment keep."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from polytope_server import accounts
from polytope_server.commands.administration import CommandError, add_command, print_table, with_open
from polytope_server.drivers.schema_version import Found, LookedError, Maintenance
from polytope_server.runtime.process import Part
from polytope_server.settings import Settings, create_backend

_COLUMNS = ("store", "version", "this server", "what is to be done")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `store`."""
    parser = subparsers.add_parser("store", help="check and upgrade what the stores keep")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_command(commands, "check", "say which version each store has, and what is to be done", _check_stores)
    add_command(commands, "upgrade", "bring each store to the version of this server", _upgrade_stores)


async def _check_stores(options: argparse.Namespace, settings: Settings, data: Path) -> None:
    maintenance = Maintenance(look_only=True)
    with maintenance.running():
        for part in _make_stores(settings, data):
            with suppress(LookedError):
                await with_open([part], _do_nothing)
    print_table(_COLUMNS, map(_format_row, maintenance.found))
    if any(found.is_too_new or found.shuts_out_others for found in maintenance.found):
        raise CommandError("This server cannot start on these stores as they are.")


async def _upgrade_stores(options: argparse.Namespace, settings: Settings, data: Path) -> None:
    maintenance = Maintenance()
    with maintenance.running():
        await with_open(_make_stores(settings, data), _do_nothing)
    for found in maintenance.found:
        print(f"{found.name}: {_describe_outcome(found)}")


def _make_stores(settings: Settings, data: Path) -> list[Part]:
    """All stores whose contents a later version must understand."""
    kept: Iterable[Part | None] = (
        create_backend("request_store", settings.request_store, data),
        create_backend("metric_store", settings.metric_store, data),
        accounts.create_users(settings, data),
        accounts.create_api_keys(settings, data),
    )
    return [store for store in kept if store is not None]


def _describe_outcome(found: Found) -> str:
    if found.stored is None:
        return f"version {found.own.version}, recorded for the first time"
    if found.is_older:
        return f"version {found.own.version}, was {found.stored.version}"
    return f"version {found.stored.version}, as before"


async def _do_nothing() -> None:
    """Opening the stores is the whole work of both commands."""


def _format_row(found: Found) -> tuple[str, str, str, str]:
    stored = "none" if found.stored is None else str(found.stored.version)
    if found.is_too_new:
        todo = "install a later version of this server"
    elif found.shuts_out_others:
        todo = "stop all processes, then `polytope-server store upgrade`"
    elif found.is_older:
        todo = "nothing: made at the next start, or by `polytope-server store upgrade`"
    else:
        todo = "nothing"
    return found.name, stored, str(found.own.version), todo
