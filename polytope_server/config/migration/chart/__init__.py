"""Values of this project's Helm chart from those of the earlier one: `config migrate --chart`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from shlex import quote
from typing import Any

from polytope_server.config.loading import Configuration
from polytope_server.config.migration.chart import network, pods
from polytope_server.config.migration.chart.backends import Backends
from polytope_server.config.migration.chart.servers import remark_on_servers
from polytope_server.config.migration.chart.values import Remark, Values
from polytope_server.config.migration.chart.variables import Variables
from polytope_server.config.migration.chart.writing import format_values
from polytope_server.config.migration.trees import tree_of, without
from polytope_server.settings.masking import secrets_of
from polytope_server.settings.nodes import Node

#: The Secret with the variables; the pages about Kubernetes call it so, too.
LOGINS = "polytope"
_BESIDE = (
    "While the earlier server uses the same back-ends, give this one a queue (`rabbitmq.name`), a bucket and "
    "databases of its own: else the earlier workers take its messages, and the earlier collector its results."
)
#: The chart says these itself.
_OF_THE_CHART = (("frontend", "bind_to"), ("frontend", "port"))


@dataclass(frozen=True)
class Chart:
    """Values for the chart, as `text`, and what else an installer needs.

    `variables` are the entries of the Secret :data:`LOGINS`, None where the old file does not have the value.
    `commands` make further Secrets.
    """

    text: str
    remarks: list[Remark]
    namespace: str
    variables: dict[str, str | None] = field(repr=False)
    commands: list[str]


def chart_of(earlier: Node, configuration: Configuration) -> Chart:
    """What the values of an earlier chart become; `configuration` is what `config check` accepts of them."""
    values = Values()
    deployment = pods.deployment_of(earlier)
    given = pods.given_variables(deployment)
    elsewhere = pods.secrets_of_others(deployment)
    variables = Variables(given, elsewhere)
    config = _make_config(configuration, values, variables)
    variables.need_references(config)
    variables.values |= pods.secret_variables(given)
    single = {name: text for name, text in variables.values.items() if _is_one_line(text or "")}
    longer = {_name_secret(name): name for name in variables.values if name not in single}
    values.set("secrets.existing", [*([LOGINS] if single else []), *longer])
    remark_on_servers(earlier, config, values)
    values.remark("backends", _BESIDE)
    pods.map_deployment(deployment, variables.replaced.union(variables.values), values)
    network.open_the_ways_out(config, values)
    namespace = _read_namespace(earlier)
    commands = [
        f"kubectl -n {quote(namespace)} create secret {rest}"
        for rest in _make_rest(values, elsewhere, longer)
    ]
    return Chart(format_values(values, config.plain()), values.remarks, namespace, single, commands)


def _make_config(configuration: Configuration, values: Values, variables: Variables) -> Node:
    """The value `config`: without back-ends, which have values of their own, and without secrets."""
    parts = Backends(tree_of(configuration.raw).given(), configuration, values, variables)
    parts.move()
    root = parts.root
    for path in _OF_THE_CHART:
        root = without(root, path)
    return variables.hide(root, configuration.secrets.difference(secrets_of(configuration.raw)))


def _make_rest(
    values: Values, elsewhere: Mapping[str, tuple[str, str]], longer: Mapping[str, str]
) -> list[str]:
    """The end of each command, without a secret: those come from files."""
    found: list[str] = []
    if values.entries.get("imagePullSecrets"):
        found.append(f"docker-registry {pods.PULLER} --from-file=.dockerconfigjson=$HOME/.docker/config.json")
    for entry in values.entries.get("ingress", {}).get("tls", ()):
        found.append(f"tls {quote(entry['secretName'])} --cert=CERTIFICATE --key=KEY")
    keys: dict[str, list[str]] = {}
    for name, key in elsewhere.values():
        keys.setdefault(name, []).append(f"--from-file={quote(key)}=FILE")
    found += [f"generic {quote(name)} {' '.join(dict.fromkeys(files))}" for name, files in keys.items()]
    return found + [f"generic {name} --from-file={variable}=FILE" for name, variable in longer.items()]


def _is_one_line(text: str) -> bool:
    """Whether it can stand in a file of `NAME=value`."""
    return text.splitlines() in ([], [text])


def _name_secret(variable: str) -> str:
    return f"{LOGINS}-{re.sub(r'[^a-z0-9]+', '-', variable.lower()).strip('-')}"


def _read_namespace(earlier: Node) -> str:
    found: Any = earlier.child("global", "namespace")
    return found.value if found is not None and isinstance(found.value, str) else "NAMESPACE"
