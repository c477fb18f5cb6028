"""The `polytope-server` command."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from polytope_server import __version__
from polytope_server.commands import builtin
from polytope_server.commands.config import add_parser as add_config_parser
from polytope_server.commands.grids import add_parser as add_grids_parser
from polytope_server.commands.keys import add_parser as add_keys_parser
from polytope_server.commands.options import add_data, add_files
from polytope_server.commands.stores import add_parser as add_store_parser
from polytope_server.commands.users import add_parser as add_users_parser
from polytope_server.config import Configuration, load
from polytope_server.config.loading import SYSTEM_FILE, files_of
from polytope_server.config.releases import open_schedule
from polytope_server.drivers.schema_version import IncompatibleSchemaError
from polytope_server.redaction import redactor
from polytope_server.runtime import data_folder, log, process
from polytope_server.runtime.management import healthcheck
from polytope_server.runtime.management.address import address, listen
from polytope_server.settings import ConfigurationError

logger = logging.getLogger(__name__)

if TYPE_CHECKING:
    from polytope_server.runtime.management.work import Work

_HELP = {
    "frontend": "serve the REST API",
    "broker": "decide which waiting request runs next",
    "worker": "fetch data and put them into staging",
    "garbage-collector": "remove what is old, too much, or orphaned",
    "object-store": "keep results and uploads for all machines, and serve them over HTTP",
    "standalone": "run all of these on this machine",
}
#: Processes that authenticate callers by secrets of the configuration, and the sections of these; () is all.
_SECRETS_OF: dict[str, tuple[str, ...]] = {"frontend": (), "standalone": (), "object-store": ("staging",)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    process.leave_no_core()
    options = _make_parser().parse_args(arguments)
    try:
        status: int = options.run(options)
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return 1
    return status


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("polytope-server", description="REST access to hypercubes of data.")
    parser.add_argument("--version", action="version", version=f"polytope-server {__version__}")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, text in _HELP.items():
        command = subparsers.add_parser(name, help=text, description=text)
        add_files(command)
        add_data(command)
        command.set_defaults(run=_run_process, process=name)
    text = "ask the management port of this machine whether the process lives"
    check = subparsers.add_parser("healthcheck", help=text, description=f"{text}, for images of containers")
    check.set_defaults(run=lambda _: healthcheck.check())
    for add in (add_config_parser, add_users_parser, add_keys_parser, add_store_parser, add_grids_parser):
        add(subparsers)
    return parser


def _run_process(options: argparse.Namespace) -> int:
    process.raise_descriptor_limit()
    # What the server writes is for its own account only.
    os.umask(0o077)
    try:
        data = data_folder.prepare(options.data)
        data_folder.announce(data)
    except OSError as error:
        print(f"cannot use the data folder {options.data}: {error.strerror}", file=sys.stderr)
        return 1
    if options.process == "standalone" and not (options.files or files_of() or SYSTEM_FILE.exists()):
        options.files = [builtin.prepare(data)]
        print(f"built-in configuration: user {builtin.USER}, password in {data / 'password'}")
    configuration = load(options.files)
    if options.process in _SECRETS_OF:
        configuration.check_secrets(*_SECRETS_OF[options.process])
    if options.process in ("frontend", "standalone"):
        # Before any process is forked, which would end again and again.
        open_schedule(configuration)
    redactor.learn(configuration.secrets)
    log.configure(configuration.settings.logging, options.process)
    for warnings in configuration.unset.values():
        for warning in warnings:
            logger.warning("%s", warning)
    if options.process == "standalone":
        from polytope_server.commands import standalone

        return standalone.run(configuration, data, lambda name: _start_process(name, configuration, data))
    return _start_process(options.process, configuration, data)


def _start_process(name: str, configuration: Configuration, data: Path) -> int:
    try:
        _serve(name, configuration, data)
    except IncompatibleSchemaError as error:
        logger.critical("%s", error)
        return process.INCOMPATIBLE
    return 0


def _serve(name: str, configuration: Configuration, data: Path) -> None:
    # Each process imports its own part only: a worker needs no web server.
    if name == "frontend":
        from polytope_server.runtime.management.shared import counting_together

        settings = configuration.settings.frontend
        with counting_together(settings.workers if address(settings.management) else 1):
            from polytope_server.frontend.server import Server

            Server(configuration, data).run()
    elif name == "object-store":
        from polytope_server.object_store.server import Server as ObjectStore

        ObjectStore(configuration, data).run()
    elif name == "broker":
        from polytope_server.broker.composition import make_broker

        _run_background_process(make_broker, name, configuration, data)
    elif name == "worker":
        from polytope_server.worker.composition import make_worker
        from polytope_server.worker.fork_server import ForkServer

        fork_server = ForkServer()
        fork_server.fork()
        make = partial(make_worker, fork_server=fork_server)
        _run_background_process(make, name, configuration, data)
    else:
        from polytope_server.garbage_collector.composition import make_collector

        _run_background_process(make_collector, name, configuration, data)


def _run_background_process(
    make: Callable[[Configuration, Path], Work], name: str, configuration: Configuration, data: Path
) -> None:
    """Run a process without a REST API."""
    from polytope_server.runtime.management.work import serve

    settings = getattr(configuration.settings, name.replace("-", "_")).management
    listener = listen(settings, f"{name}.management")
    process.run(lambda stop: serve(make(configuration, data), listener, stop))
