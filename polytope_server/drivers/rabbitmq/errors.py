"""What the driver of RabbitMQ says when something goes wrong, in words for operators."""

from __future__ import annotations

import re
import ssl

from pika.exceptions import (
    AMQPError,
    AMQPHeartbeatTimeout,
    ChannelClosed,
    ConnectionClosed,
    IncompatibleProtocolError,
    ProbableAccessDeniedError,
    ProbableAuthenticationError,
    StreamLostError,
)

from polytope_server.runtime.unavailable import UnavailableError

#: What goes wrong with a server, as the driver has it.
FAILURES = (AMQPError, OSError, TimeoutError)

#: The part of a server's reply that says what is wrong, inside of a representation of the driver.
_REPLY = re.compile(r"""\(\d+\) (['"])(.*?)\1""")
_USER = re.compile(r"user '[^']*'")


class RabbitMQUnavailableError(UnavailableError):
    """RabbitMQ cannot be reached at the moment, or refuses the account."""


def root(error: BaseException) -> BaseException:
    """The error that the driver has wrapped into others."""
    while True:
        inner = [getattr(error, "exception", None), *getattr(error, "exceptions", ()), *error.args]
        wrapped = [item for item in inner if isinstance(item, BaseException)]
        if not wrapped:
            return error
        error = wrapped[-1]


def reason(error: BaseException) -> str:
    """Why a connection or a channel failed, in one sentence without credentials."""
    error = root(error)
    match error:
        case ProbableAuthenticationError():
            return "it refuses `user` or `password`"
        case ProbableAccessDeniedError():
            return f"it refuses access to `virtual_host`{_reply(error)}"
        case IncompatibleProtocolError():
            return (
                "what listens there closed the connection: it starts or ends, expects TLS, or is no RabbitMQ"
            )
        case ConnectionClosed() | ChannelClosed():
            return _anonymous(str(error.reply_text))
        case AMQPHeartbeatTimeout():
            return "it has been silent for too long"
        case StreamLostError():
            return "the connection was lost"
        case ssl.SSLError():
            return f"TLS failed: {getattr(error, 'reason', None) or error}"
        case OSError() if error.strerror:
            return error.strerror
    if isinstance(error, TimeoutError) or "Timeout" in type(error).__name__:
        return "no answer in time"
    return str(error) or type(error).__name__


def _reply(error: BaseException) -> str:
    found = _REPLY.search(str(error))
    return f": {_anonymous(found[2])}" if found else ""


def _anonymous(reply: str) -> str:
    return _USER.sub("`user`", reply)
