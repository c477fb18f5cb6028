"""Reverse proxies, which terminate TLS in front of a server."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence
from pathlib import Path

from testbed.services.programs import program
from testbed.services.service import Service

_NGINX = """\
daemon off;
user root;
worker_processes 1;
pid {folder}/pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/conf.d/*.conf;
}}
"""


class Proxy(Service):
    """A proxy with the given files below its folder, which say where it listens."""

    def __init__(self, folder: Path, port: int, files: dict[str, str], trusted: str) -> None:
        """`port` is the one in the files; `trusted` names a file by which its certificate is valid."""
        super().__init__(folder)
        self.port = port
        self._trusted = trusted
        for name, text in files.items():
            file = self.folder / name
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)

    @property
    def variables(self) -> dict[str, str]:
        return {}

    def ready(self) -> bool:
        # Traefik listens, and makes a certificate, before it has read its own.
        context = ssl.create_default_context(cafile=self._trusted)
        with (
            socket.create_connection((self.host, self.port), timeout=2) as connection,
            context.wrap_socket(connection, server_hostname="localhost"),
        ):
            return True


class Nginx(Proxy):
    """nginx with servers in `conf.d/`."""

    name = "nginx"

    def command(self) -> Sequence[str]:
        main = self.folder / "nginx.conf"
        main.write_text(_NGINX.format(folder=self.folder))
        return [program(self.name), "-p", str(self.folder), "-e", "stderr", "-c", str(main)]


class Traefik(Proxy):
    """Traefik with the static configuration `traefik.yaml`."""

    name = "traefik"

    def command(self) -> Sequence[str]:
        return [program(self.name), f"--configFile={self.folder / 'traefik.yaml'}"]
