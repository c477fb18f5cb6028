"""Redis and Memcached."""

from __future__ import annotations

import os
from collections.abc import Sequence

from testbed.services.programs import program
from testbed.services.service import Service, answers


class Redis(Service):
    """A Redis that keeps nothing on disk, with a password."""

    name = "redis"
    password = "of the tests"

    @property
    def variables(self) -> dict[str, str]:
        return {"REDIS_HOST": self.host, "REDIS_PORT": str(self.port), "REDIS_PASSWORD": self.password}

    def command(self) -> Sequence[str]:
        return [
            *(program(self.name), "--port", str(self.port), "--bind", self.host, "--dir", str(self.folder)),
            *("--save", "", "--appendonly", "no", "--daemonize", "no", "--requirepass", self.password),
        ]

    def ready(self) -> bool:
        return answers(self.host, self.port, b"PING\r\n", b"-NOAUTH")


class Memcached(Service):
    """A Memcached of 64 MB."""

    name = "memcached"

    @property
    def variables(self) -> dict[str, str]:
        return {"MEMCACHED_HOST": self.host, "MEMCACHED_PORT": str(self.port)}

    def command(self) -> Sequence[str]:
        user = ("-u", "nobody") if os.geteuid() == 0 else ()
        return [program(self.name), *user, "-l", self.host, "-p", str(self.port), "-m", "64"]

    def ready(self) -> bool:
        return answers(self.host, self.port, b"version\r\n", b"VERSION")
