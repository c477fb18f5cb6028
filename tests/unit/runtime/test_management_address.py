"""Where the management port is, as configuration and environment say."""

from __future__ import annotations

import socket

import pytest

from polytope_server.runtime.management import VARIABLE
from polytope_server.runtime.management.address import address, listen
from polytope_server.settings import ConfigurationError
from polytope_server.settings.management import ManagementSettings


@pytest.mark.parametrize(
    ("keys", "variable", "expected"),
    [
        ({}, None, None),
        ({}, "", None),
        ({}, "8090", ("0.0.0.0", 8090)),
        ({"host": "::1"}, "8090", ("::1", 8090)),
        ({"host": "::1"}, None, None),
        ({"port": 9000}, None, ("127.0.0.1", 9000)),
        ({"port": 9000}, "8090", ("0.0.0.0", 9000)),
        ({"port": 0}, "8090", None),
        ({"port": None}, "8090", None),
        ({}, "0", None),
    ],
)
def test_the_configuration_comes_before_the_environment(
    keys: dict[str, object], variable: str | None, expected: tuple[str, int] | None
) -> None:
    environment = {} if variable is None else {VARIABLE: variable}
    assert address(ManagementSettings.model_validate(keys), environment) == expected


@pytest.mark.parametrize("text", ["http", "-1", "65536", "80.5", "tcp://10.0.0.1:8090"])
def test_an_environment_that_names_no_port_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match=VARIABLE):
        address(ManagementSettings(), {VARIABLE: text})


def test_a_port_that_is_taken_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ConfigurationError, match=rf"port {port} \(worker\.management\.port\): "):
            listen(ManagementSettings(port=port), "worker.management")
        monkeypatch.setenv(VARIABLE, str(port))
        with pytest.raises(ConfigurationError, match=rf"port {port} \({VARIABLE}\): "):
            listen(ManagementSettings(host="127.0.0.1"), "worker.management")


def test_without_a_port_nothing_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert listen(ManagementSettings(), "worker.management") is None
