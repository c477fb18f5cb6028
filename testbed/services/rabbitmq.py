"""RabbitMQ."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from testbed.services.programs import program
from testbed.services.service import Service, answers, end, free_port

_CONFIG = """\
loopback_users = none
default_user = {user}
default_pass = {password}
log.console = true
log.file = false
cluster_formation.peer_discovery_backend = classic_config
vm_memory_high_watermark.absolute = 1GB
disk_free_limit.absolute = 50MB
"""


class RabbitMQ(Service):
    """A node of its own, with a port mapper of its own."""

    name = "rabbitmq"
    user, password, virtual_host = "tests", "of the tests", "/"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._distribution, self._mapper_port = free_port(), free_port()
        self._node = f"tests{self.port}@localhost"
        self._mapper: subprocess.Popen[bytes] | None = None
        (self.folder / "rabbitmq.conf").write_text(_CONFIG.format(user=self.user, password=self.password))
        (self.folder / "plugins").write_text("[].\n")

    def command(self) -> Sequence[str]:
        return [program(self.name)]

    @property
    def variables(self) -> dict[str, str]:
        return {
            "RABBITMQ_HOST": self.host,
            "RABBITMQ_PORT": str(self.port),
            "RABBITMQ_VIRTUAL_HOST": self.virtual_host,
            "RABBITMQ_USERNAME": self.user,
            "RABBITMQ_PASSWORD": self.password,
        }

    def environment(self) -> Mapping[str, str]:
        folder = self.folder
        files = {
            "RABBITMQ_MNESIA_BASE": "data",
            "RABBITMQ_LOG_BASE": "logs",
            "RABBITMQ_PID_FILE": "pid",
            "RABBITMQ_ENABLED_PLUGINS_FILE": "plugins",
            "RABBITMQ_CONFIG_FILE": "rabbitmq.conf",
            "RABBITMQ_GENERATED_CONFIG_DIR": "generated",
            "RABBITMQ_FEATURE_FLAGS_FILE": "flags",
            "RABBITMQ_PLUGINS_EXPAND_DIR": "expanded",
        }
        return {
            **os.environ,
            **{name: str(folder / file) for name, file in files.items()},
            "HOME": str(folder),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_NODENAME": self._node,
            "RABBITMQ_NODE_IP_ADDRESS": self.host,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._distribution),
            # No busy waiting of idle schedulers: the tests share the cores.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+sbwt none +sbwtdcpu none +sbwtdio none",
            "ERL_EPMD_PORT": str(self._mapper_port),
            "ERL_EPMD_ADDRESS": self.host,
        }

    def start(self) -> None:
        mapper = shutil.which("epmd")
        if mapper is not None and (self._mapper is None or self._mapper.poll() is not None):
            # In the foreground: started by the node, it would outlive it as a daemon.
            self._mapper = self.launch([mapper, "-port", str(self._mapper_port), "-address", self.host])
        super().start()

    def ready(self) -> bool:
        return answers(self.host, self.port, b"AMQP\x00\x00\x09\x01", b"\x01\x00\x00")

    def stop(self) -> None:
        super().stop()
        if self._mapper is not None:
            end(self._mapper)

    def control(self, *arguments: str) -> str:
        """Run `rabbitmqctl`; returns what it prints."""
        tool = Path(program(self.name)).with_name("rabbitmqctl")
        command = [str(tool), "--node", self._node, *arguments]
        done = subprocess.run(
            command, env={**self.environment()}, check=True, capture_output=True, text=True, timeout=120
        )
        return done.stdout
