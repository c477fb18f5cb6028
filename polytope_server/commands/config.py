"""`polytope-server config`: check, show, describe and migrate the configuration."""

from __future__ import annotations

import argparse
import json
import sys

import yaml

from polytope_server.commands import migrate as migration
from polytope_server.commands import options
from polytope_server.config.loading import load
from polytope_server.config.releases import open_schedule
from polytope_server.config.schema import json_schema
from polytope_server.settings.masking import mask, secrets_of
from polytope_server.settings.problems import ConfigurationError

_HELP = {
    "check": "say what is wrong with the configuration, and what has no effect",
    "show": "print the effective configuration, secrets masked",
    "schema": "print the JSON Schema of the configuration, for editors",
}


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `config`; each of its sub-commands sets `run`, a function of the parsed arguments."""
    parser = subparsers.add_parser("config", help="check and show the configuration")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, run in (("check", _check_files), ("show", _show_configuration), ("schema", _print_schema)):
        command = commands.add_parser(name, help=_HELP[name], description=_HELP[name])
        options.add_files(command)
        command.set_defaults(run=run)
    migration.add_arguments(commands.add_parser("migrate", help=migration.HELP, description=migration.HELP))


def _check_files(chosen: argparse.Namespace) -> int:
    try:
        configuration = load(chosen.files)
        configuration.check_secrets()
        open_schedule(configuration)
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return 1
    for warning in configuration.warnings:
        print(f"warning: {warning}")
    print("ok")
    return 0


def _show_configuration(chosen: argparse.Namespace) -> int:
    try:
        configuration = load(chosen.files)
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return 1
    # Those that are secret by the types of a plug-in's keys only.
    unnamed = configuration.secrets.difference(secrets_of(configuration.raw))
    effective = mask(configuration.settings.model_dump(mode="json", by_alias=True), unnamed)
    print(yaml.safe_dump(effective, sort_keys=False, allow_unicode=True), end="")
    return 0


def _print_schema(chosen: argparse.Namespace) -> int:
    print(json.dumps(json_schema(), indent=2))
    return 0
