"""What the tests of the LDAP authorizer share."""

import asyncio
import os
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import psutil
import pytest

from polytope_server.authentication import AuthenticationUnavailableError
from polytope_server.authorization.ldap import LDAPAuthorizer
from polytope_server.user import User
from testbed.services import LDAP

Make = Callable[..., Awaitable[LDAPAuthorizer]]
ALICE = User("alice", "r")
#: Matches by the distinguishedName itself: what OpenLDAP has in place of Active Directory's rule.
DISTINGUISHED_NAME_MATCH = "2.5.13.1"


async def assert_unavailable(
    authorizer: LDAPAuthorizer, caplog: pytest.LogCaptureFixture, reason: str, seconds: float = 10.0
) -> None:
    """The caller learns nothing, the operator which server of which realm fails, and why."""
    with pytest.raises(AuthenticationUnavailableError) as caught:
        await asyncio.wait_for(authorizer.roles(ALICE), seconds)
    assert caught.value.__cause__ is caught.value.__context__ is None
    assert authorizer.settings.url not in str(caught.value)
    record = caplog.records[-1]
    assert record.levelname == "ERROR"
    assert record.getMessage().startswith(f"LDAP server {authorizer.settings.url} of the realm r: ")
    assert reason in record.getMessage()


def our_connections(authorizer: LDAPAuthorizer) -> int:
    port = int(authorizer.settings.url.rpartition(":")[2])
    found = psutil.Process().net_connections()
    return sum(
        bool(each.raddr) and each.raddr.port == port and each.status == "ESTABLISHED" for each in found
    )


@contextmanager
def stopped(service: LDAP) -> Iterator[None]:
    os.kill(service.process.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, service.process.pid, os.WSTOPPED)  # until then some thread may still answer
    try:
        yield
    finally:
        os.kill(service.process.pid, signal.SIGCONT)


class Odd:
    """Answers the bind as it should, and what comes then with pieces of its own."""

    BOUND = bytes.fromhex("61070a010004000400")

    def __init__(self, pieces: list[bytes], pause: float = 0.0) -> None:
        self._pieces, self._pause = pieces, pause
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"ldap://127.0.0.1:{self._listening.getsockname()[1]}"
        self.ended = threading.Event()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        with self._listening, self._listening.accept()[0] as connection:
            try:
                question = connection.recv(4096)
                body = (
                    question[2 : 4 + question[3]] + self.BOUND
                )  # its number, of one byte or more, comes first
                connection.sendall(bytes([0x30, len(body)]) + body)
                connection.recv(4096)
                for piece in self._pieces:
                    connection.sendall(piece)
                    if self._done.wait(self._pause):
                        return
                connection.recv(1)
            except OSError:
                pass
            self.ended.set()

    def stop(self) -> None:
        self._done.set()
        self._thread.join()


LONG = b"\x30\x84\x7f\xff\xff\xff"
