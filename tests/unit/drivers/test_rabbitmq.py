import ssl

import pytest
from pika.adapters.utils.connection_workflow import (
    AMQPConnectionWorkflowFailed,
    AMQPConnectorSocketConnectError,
    AMQPConnectorStackTimeout,
)
from pika.exceptions import (
    AMQPConnectionError,
    AMQPHeartbeatTimeout,
    ChannelClosedByBroker,
    ConnectionClosedByBroker,
    IncompatibleProtocolError,
    ProbableAccessDeniedError,
    ProbableAuthenticationError,
    StreamLostError,
)
from pydantic import ValidationError

from polytope_server.drivers.rabbitmq import RabbitMQSettings
from polytope_server.drivers.rabbitmq.errors import RabbitMQUnavailableError, reason
from polytope_server.drivers.rabbitmq.link import Link
from polytope_server.queue import QueueUnavailableError
from polytope_server.settings.masking import MASK, mask

_REFUSED = ConnectionRefusedError(111, "Connection refused")


def test_the_keys_of_an_earlier_server_are_taken() -> None:
    settings = RabbitMQSettings.model_validate(
        {
            "host": "queue",
            "port": "5673",
            "name": "default",
            "user": "polytope",
            "password": "hunter2",
            "keep_alive_interval": 60,
        }
    )
    assert (settings.port, settings.keep_alive_interval) == (5673, 60)
    assert "hunter2" not in repr(settings)
    assert mask(settings.model_dump())["password"] == MASK


@pytest.mark.parametrize(
    "keys", [{"name": "a b"}, {"name": ""}, {"keep_alive_interval": 0}, {"username": "a"}, {"port": "amqp"}]
)
def test_a_wrong_key_is_refused_without_its_value(keys: dict[str, object]) -> None:
    with pytest.raises(ValidationError) as error:
        RabbitMQSettings.model_validate({**keys, "password": ["hunter2"]})
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (
            AMQPConnectionError(AMQPConnectionWorkflowFailed([AMQPConnectorSocketConnectError(_REFUSED)])),
            "Connection refused",
        ),
        (ProbableAuthenticationError("x"), "it refuses `user` or `password`"),
        (
            ProbableAccessDeniedError("ConnectionClosedByBroker: (530) 'NOT_ALLOWED - vhost v not found'"),
            "it refuses access to `virtual_host`: NOT_ALLOWED - vhost v not found",
        ),
        (ProbableAccessDeniedError("StreamLostError"), "it refuses access to `virtual_host`"),
        (
            IncompatibleProtocolError("x"),
            "what listens there closed the connection: it starts or ends, expects TLS, or is no RabbitMQ",
        ),
        (ConnectionClosedByBroker(320, "CONNECTION_FORCED - shutdown"), "CONNECTION_FORCED - shutdown"),
        (ChannelClosedByBroker(404, "NOT_FOUND - no queue"), "NOT_FOUND - no queue"),
        (ChannelClosedByBroker(403, "ACCESS_REFUSED for user 'alice'"), "ACCESS_REFUSED for `user`"),
        (AMQPHeartbeatTimeout("x"), "it has been silent for too long"),
        (StreamLostError("x"), "the connection was lost"),
        (AMQPConnectorStackTimeout("x"), "no answer in time"),
        (TimeoutError(), "no answer in time"),
        (ssl.SSLError(1, "[SSL] wrong"), "TLS failed: [SSL] wrong"),
        (FileNotFoundError(2, "No such file or directory"), "No such file or directory"),
        (OSError("odd"), "odd"),
        (RuntimeError(), "RuntimeError"),
    ],
)
def test_an_error_is_explained(error: Exception, expected: str) -> None:
    assert reason(error) == expected


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (RabbitMQUnavailableError("a queue was deleted"), "a queue was deleted"),
        (_REFUSED, "RabbitMQ at queue:5673 (test): Connection refused"),
        (TimeoutError(), "RabbitMQ at queue:5673 (test): no answer in time"),
    ],
)
def test_an_error_of_the_driver_becomes_that_of_a_concern(error: Exception, text: str) -> None:
    with pytest.raises(QueueUnavailableError) as caught, _link().failing_with(QueueUnavailableError):
        raise error
    assert str(caught.value) == text


def test_a_fault_of_the_program_stays_as_it_is() -> None:
    with pytest.raises(KeyError), _link().failing_with(QueueUnavailableError):
        raise KeyError


def _link() -> Link:
    async def set_up(connection: object) -> None:
        raise NotImplementedError

    return Link(RabbitMQSettings(host="queue", port=5673), "test", set_up, lambda: None)
