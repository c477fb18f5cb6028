"""Where MARS's servers call the client back (protocol `dhs`).

In a pod of Kubernetes they reach the client through a Service of type NodePort that has the name of the pod.
Its ports are used in turn: a server may still be bound to the last one. Processes of the same pod take
different ports, by a socket whose name is the port: it belongs to the network of the pod, as ports do.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import secrets
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3

from polytope_server.datasource import TemporaryError
from polytope_server.datasource.upstream import new_session

logger = logging.getLogger(__name__)

#: The variables of the client; given all four, nothing is looked up.
PRESET = ("MARS_DHS_CALLBACK_HOST", "MARS_DHS_CALLBACK_PORT", "MARS_DHS_LOCALHOST", "MARS_DHS_LOCALPORT")
_POD = ("K8S_NODE_NAME", "K8S_POD_NAME", "K8S_NAMESPACE")
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
PORT_FILE = Path("/persistent/last_mars_port")
_TIMEOUT = (5, 10)
#: Bytes of an answer of Kubernetes.
_LARGEST = 1 << 20


@dataclass(frozen=True)
class Kubernetes:
    """What the look-up needs besides the environment."""

    account: Path = SERVICE_ACCOUNT
    port_file: Path = PORT_FILE


@dataclass(frozen=True)
class Port:
    """A port of the Service: that of all nodes, and that of the pod."""

    node: int
    local: int


@contextmanager
def callback(
    variables: Mapping[str, str], kubernetes: Kubernetes = Kubernetes()
) -> Iterator[tuple[dict[str, str], list[int]]]:
    """The variables that say where the client is called back, and file descriptors that keep its port.

    Nothing where they are in the environment already, and outside of a pod: then the client says itself
    where it listens. Raises TemporaryError.
    """
    if all(name in variables for name in PRESET) or not all(name in variables for name in _POD):
        yield {}, []
        return
    ports = _find_ports(variables, kubernetes.account)
    port, lock = _take_port(ports, kubernetes.port_file)
    with lock:
        logger.info(
            "MARS calls back at %s:%d, port %d of this pod", variables[_POD[0]], port.node, port.local
        )
        found = (variables["K8S_NODE_NAME"], port.node, variables["K8S_POD_NAME"], port.local)
        named = {name: str(value) for name, value in zip(PRESET, found, strict=True)}
        yield {"MARS_ENVIRON_ORIGIN": "polytope", **named}, [lock.fileno()]


def _find_ports(variables: Mapping[str, str], account: Path) -> list[Port]:
    """The ports of the Service that has the name of this pod. Raises TemporaryError."""
    name = f"{variables['K8S_NAMESPACE']}/services/{variables['K8S_POD_NAME']}"
    try:
        service = _get(variables, account, f"/api/v1/namespaces/{name}")
        ports = [Port(int(each["nodePort"]), int(each["port"])) for each in service["spec"]["ports"]]
    except (OSError, ValueError, LookupError, TypeError, urllib3.exceptions.HTTPError) as error:
        logger.error("the Service %s with the ports for call-backs of MARS: %s", name, error)
        raise TemporaryError("MARS cannot be used at the moment.") from error
    if not ports:
        logger.error("the Service %s has no ports for call-backs of MARS", name)
        raise TemporaryError("MARS cannot be used at the moment.")
    return ports


def _get(variables: Mapping[str, str], account: Path, path: str) -> Any:
    """What Kubernetes answers. Raises OSError, ValueError, KeyError, and errors of urllib3."""
    host, port = variables["KUBERNETES_SERVICE_HOST"], variables.get("KUBERNETES_SERVICE_PORT", "443")
    server = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    token = (account / "token").read_text().strip()
    # Neither proxies nor a ~/.netrc, and no redirect: the token is for Kubernetes alone.
    with new_session() as session:
        answer = session.get(
            f"https://{server}{path}",
            headers={"Authorization": f"Bearer {token}", "Accept": "application/json"},
            verify=str(account / "ca.crt"),
            timeout=_TIMEOUT,
            stream=True,
        )
        with answer:
            body = answer.raw.read(_LARGEST, decode_content=True)
            if answer.status_code != 200:
                raise OSError(f"Kubernetes answers with status {answer.status_code}")
            return json.loads(body)


def _take_port(ports: list[Port], port_file: Path) -> tuple[Port, socket.socket]:
    """The next port that no other process of this pod has taken, and what keeps it."""
    with _last_port(port_file) as number:
        for step in range(len(ports)):
            index = (number.value + 1 + step) % len(ports)
            if (lock := _lock(ports[index])) is not None:
                number.value = index
                return ports[index], lock
    logger.warning("all %d ports for call-backs of MARS are in use", len(ports))
    raise TemporaryError("MARS cannot be used at the moment.")


@dataclass
class _Number:
    value: int


@contextmanager
def _last_port(path: Path) -> Iterator[_Number]:
    """The number of the port that was taken last, by any process; it is kept in a file, if that can be."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        logger.warning("ports for call-backs of MARS begin anywhere: %s", error)
        yield _Number(secrets.randbelow(1 << 16))
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        text = os.read(file, 32).strip()
        number = _Number(int(text) if text.isdigit() else 0)
        yield number
        os.ftruncate(file, 0)
        os.pwrite(file, str(number.value).encode(), 0)
    finally:
        os.close(file)


def _lock(port: Port) -> socket.socket | None:
    """What keeps other processes of this pod from the port; None if one has it."""
    lock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        lock.bind(f"\0polytope-mars-port-{port.local}")
    except OSError:
        lock.close()
        return None
    return lock
