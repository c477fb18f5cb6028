"""Where processes must be let out to: the chart's policies deny everything else."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from polytope_server.config.migration.chart.values import Values
from polytope_server.settings.nodes import Node

_ADDRESS = re.compile(
    r"(?P<scheme>https?|ldaps?)://[^/\s:]*(?:@[^/\s:]*)?(?::(?P<port>\d{1,5}))?", re.IGNORECASE
)
_PORTS = {"http": 80, "https": 443, "ldap": 389, "ldaps": 636}
_NARROW = (
    "The earlier chart let pods call any address. `egress` opens the ports of the addresses in `{section}`: "
    "narrow it down to your servers (`to`)."
)
_DATA = "Mount what the data sources read ({paths}) with `extraVolumes` and `extraVolumeMounts`."


def open_the_ways_out(root: Node, values: Values) -> None:
    """Let frontends out to log-in services, and workers to data sources, by ports in the configuration."""
    proxies = set(_find_ports([entry.get("value") for entry in values.entries.get("extraEnv", ())]))
    log_in = sorted({*_find_ports((root.child("authentication") or Node({})).plain()), *proxies})
    data = sorted({*_find_ports((root.child("datasources") or Node({})).plain()), *proxies})
    if log_in:
        values.set("frontend.egress", _rules(log_in))
        values.remark("frontend", _NARROW.format(section="authentication"))
    if data:
        values.entries["workers"][0]["egress"] = _rules(data)
        values.remark("workers", _NARROW.format(section="datasources"))
    paths = sorted(set(_find_paths((root.child("datasources") or Node({})).plain())))
    if paths:
        values.remark("workers", _DATA.format(paths=", ".join(paths)))


def _rules(ports: Iterable[int]) -> list[dict[str, Any]]:
    return [{"ports": [{"protocol": "TCP", "port": port} for port in ports]}]


def _find_ports(value: Any) -> Iterator[int]:
    """The ports of addresses, and those that stand beside a `host`."""
    if isinstance(value, dict):
        port = str(value.get("port", ""))
        if value.get("host") and port.isdecimal():
            yield int(port)
        for item in value.values():
            yield from _find_ports(item)
    elif isinstance(value, list):
        for item in value:
            yield from _find_ports(item)
    elif isinstance(value, str):
        for found in _ADDRESS.finditer(value):
            yield int(found["port"] or _PORTS[found["scheme"].lower()])


def _find_paths(value: Any) -> Iterator[str]:
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _find_paths(item)
    elif isinstance(value, str) and value.startswith("/"):
        yield value
