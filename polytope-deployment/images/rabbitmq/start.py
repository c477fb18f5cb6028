"""Starts RabbitMQ as a single node, with one user.

RABBITMQ_USERNAME and RABBITMQ_PASSWORD are the user's, RABBITMQ_VIRTUAL_HOST is the virtual host (/). They
count at the first start only.
"""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path

DATA = Path("/data")
#: Made at each start, and read only by what runs in this container.
RUN = Path(os.environ["HOME"])
#: Not the one in the PATH, which wants to become another user.
SERVER = "/usr/lib/rabbitmq/bin/rabbitmq-server"


def main() -> None:
    """Become RabbitMQ."""
    RUN.mkdir(mode=0o700, exist_ok=True)
    _write(RUN / ".erlang.cookie", secrets.token_hex(32))
    _write(RUN / "rabbitmq.conf", _configuration())
    _write(RUN / "enabled_plugins", "[].\n")
    os.execve(SERVER, [SERVER], {**_environment(), **_files()})


def _configuration() -> str:
    lines = {
        "listeners.tcp.default": "5672",
        "default_user": _needed("RABBITMQ_USERNAME"),
        "default_pass": _needed("RABBITMQ_PASSWORD"),
        "default_vhost": os.environ.get("RABBITMQ_VIRTUAL_HOST") or "/",
        "log.console": "true",
        "log.console.level": "warning",
        # Probes end their connections early, every few seconds.
        "log.connection.level": "error",
        "log.file": "false",
    }
    return "".join(f"{name} = {value}\n" for name, value in lines.items())


def _needed(name: str) -> str:
    value = os.environ.get(name)
    if not value or any(sign in value for sign in "#'\"\n") or value != value.strip():
        sys.exit(f"the variable {name} is not set, or has a quote, a # or a space at its end")
    return value


def _environment() -> dict[str, str]:
    """What the server is to see: the variables that it would take for its own settings are replaced."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RABBITMQ_")}
    return kept | {
        # The data are those of a name, and the name of the container is another one each time.
        "RABBITMQ_NODENAME": "rabbit@localhost",
        "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        # Other nodes, and tools, are in this container only. No busy waiting: a trial shares its cores.
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
            "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none"
        ),
    }


def _files() -> dict[str, str]:
    return {
        "RABBITMQ_MNESIA_BASE": str(DATA / "mnesia"),
        "RABBITMQ_FEATURE_FLAGS_FILE": str(DATA / "feature_flags"),
        "RABBITMQ_CONFIG_FILE": str(RUN / "rabbitmq.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(RUN / "enabled_plugins"),
        "RABBITMQ_GENERATED_CONFIG_DIR": str(RUN / "generated"),
        "RABBITMQ_LOG_BASE": str(RUN / "logs"),
        "RABBITMQ_PID_FILE": str(RUN / "pid"),
        "RABBITMQ_PLUGINS_EXPAND_DIR": str(RUN / "expanded"),
    }


def _write(path: Path, text: str) -> None:
    """A file that only this user may read, in place of one that a start before this one has left."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


if __name__ == "__main__":
    main()
