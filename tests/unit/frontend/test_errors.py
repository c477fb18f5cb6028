"""How errors are answered: status, headers and message of each."""

from __future__ import annotations

from typing import Any

import falcon.asgi
import falcon.testing
import pytest

from polytope_server.accounts.errors import AuthenticationUnavailableError
from polytope_server.authentication.manager import UnauthenticatedError
from polytope_server.frontend.limits import CallRate, TooManyCallsError
from polytope_server.frontend.refusals import FailedRequestError, Kind, RefusedError
from polytope_server.frontend.support import Support
from polytope_server.frontend.v1.errors import Errors
from polytope_server.http.shell import INTERNAL_ERROR
from polytope_server.request import Request
from polytope_server.request_store import StoreUnavailableError
from polytope_server.settings.frontend import SupportSettings
from polytope_server.user import User

HELP = "https://help.example.org"
WITH_HELP = f"\nFor help: {HELP}"
CLIENT = "python-requests/2.32.5"
#: What the client after 0.7.10 sends, alone and within another program.
NEXT_CLIENT = "polytope-client/0.7.11 python-requests/2.32.5"
WITHIN_A_PROGRAM = "a-program/1.0 polytope-client/0.7.11"
FAILED = Request(User("alice", "test"), "c", user_message="it broke")


class Failing:
    """A resource whose calls all fail; `is_poll` is what it says of itself, if anything."""

    def __init__(self, error: Exception, is_poll: bool | None = None) -> None:
        self._error = error
        self._is_poll = is_poll

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str = "") -> None:
        if self._is_poll is not None:
            req.context.is_poll = self._is_poll
        raise self._error

    on_post = on_get


async def answer_to(
    error: Exception,
    method: str = "GET",
    path: str = "/fixed",
    agent: str = "curl/8",
    is_poll: bool | None = None,
) -> tuple[int, str, dict[str, str]]:
    """Status, message and headers of the answer to a call that fails so."""
    app: falcon.asgi.App[Any, Any] = falcon.asgi.App()
    resource = Failing(error, is_poll)
    app.add_route("/fixed", resource)
    app.add_route("/requests/{name}", resource)
    Errors(Support(SupportSettings(default_url=HELP))).add_to(app)
    async with falcon.testing.ASGIConductor(app) as conductor:
        result = await conductor.simulate_request(method, path, headers={"User-Agent": agent})
    assert list(result.json) == ["message"]
    return result.status_code, result.json["message"], dict(result.headers)


@pytest.mark.parametrize(
    ("kind", "status", "message", "retry_after"),
    [
        (Kind.INVALID, 400, "why", None),
        (Kind.FORBIDDEN, 403, f"why{WITH_HELP}", None),
        (Kind.TOO_LARGE, 413, "why", None),
        (Kind.TOO_MANY, 429, f"why. Try again in 5 seconds.{WITH_HELP}", "5"),
        (Kind.BUSY, 429, f"why. Try again in 5 seconds.{WITH_HELP}", "5"),
        (Kind.UNSUPPORTED, 501, f"why{WITH_HELP}", None),
        (Kind.UNAVAILABLE, 503, f"why{WITH_HELP}", "5"),
        (Kind.NO_ROOM, 507, f"why{WITH_HELP}", None),
    ],
)
async def test_each_kind_of_refusal(kind: Kind, status: int, message: str, retry_after: str | None) -> None:
    found = await answer_to(RefusedError(kind, "why"))
    assert found[:2] == (status, message)
    assert found[2].get("retry-after") == retry_after


def test_no_kind_is_left_out() -> None:
    [marker] = [mark for mark in test_each_kind_of_refusal.pytestmark if mark.name == "parametrize"]  # type: ignore[attr-defined]
    assert {case[0] for case in marker.args[1]} == set(Kind)


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(0.2, "1 second"), (1.0, "1 second"), (1.01, "2 seconds"), (59.5, "60 seconds")],
)
async def test_a_wait_is_given_in_whole_seconds_and_never_too_short(seconds: float, written: str) -> None:
    _, message, headers = await answer_to(RefusedError(Kind.TOO_MANY, "why", seconds))
    assert message.startswith(f"why. Try again in {written}.")
    assert headers["retry-after"] == written.partition(" ")[0]


@pytest.mark.parametrize("agent", [CLIENT, NEXT_CLIENT, WITHIN_A_PROGRAM])
@pytest.mark.parametrize(
    ("method", "path", "is_poll", "status"),
    [
        ("POST", "/fixed", None, 403),
        ("GET", "/fixed", None, 403),
        ("POST", "/requests/x", None, 403),
        ("GET", "/requests/x", None, 429),
        ("GET", "/requests/x", False, 403),
    ],
)
async def test_polytope_client_sees_a_403_where_it_would_hide_a_429(
    method: str, path: str, is_poll: bool | None, status: int, agent: str
) -> None:
    error = TooManyCallsError("why", CallRate(1, 1.0, 0, 3.0))
    found = await answer_to(error, method, path, agent, is_poll)
    assert found[:2] == (status, f"why. Try again in 3 seconds.{WITH_HELP}")
    assert found[2]["retry-after"] == "3"
    assert (await answer_to(error, method, path, is_poll=is_poll))[0] == 429


async def test_polytope_client_repeats_transfers() -> None:
    found = await answer_to(RefusedError(Kind.BUSY, "why"), "POST", "/requests/x", CLIENT)
    assert found[0] == 429


async def test_credentials_that_are_wrong() -> None:
    status, message, headers = await answer_to(UnauthenticatedError("why", ["Basic a", "Bearer b"]))
    assert (status, message) == (401, f"why{WITH_HELP}")
    assert headers["www-authenticate"] == "Basic a, Bearer b"
    assert "retry-after" not in headers


async def test_without_challenges_there_is_no_header_of_them() -> None:
    assert "www-authenticate" not in (await answer_to(UnauthenticatedError("why", [])))[2]


@pytest.mark.parametrize(
    ("agent", "status"),
    [("curl/8", 429), ("mine/1 python-requests/2", 429), (CLIENT, 401), (NEXT_CLIENT, 401)],
)
async def test_credentials_that_are_wrong_too_many_times(agent: str, status: int) -> None:
    found = await answer_to(UnauthenticatedError("why", ["Basic"], 7), agent=agent)
    assert found[:2] == (status, f"why{WITH_HELP}")
    assert (found[2]["retry-after"], found[2]["www-authenticate"]) == ("7", "Basic")


async def test_a_request_that_failed() -> None:
    status, message, headers = await answer_to(FailedRequestError(FAILED))
    assert (status, "retry-after" in headers) == (400, False)
    assert message == f"Request failed with error:\nit broke{WITH_HELP} (the request is {FAILED.id})"


@pytest.mark.parametrize(
    "error", [StoreUnavailableError("a secret place"), AuthenticationUnavailableError("a secret place")]
)
async def test_a_back_end_that_cannot_be_reached(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    status, message, headers = await answer_to(error)
    assert (status, headers["retry-after"]) == (503, "5")
    assert message == f"The server cannot reach its stores at the moment. Please try again.{WITH_HELP}"
    assert "a secret place" in caplog.text


async def test_a_fault_of_the_server_is_for_the_log_alone(caplog: pytest.LogCaptureFixture) -> None:
    status, message, _ = await answer_to(KeyError("a secret"))
    assert status == 500
    assert message == f"{INTERNAL_ERROR}{WITH_HELP}"
    assert "secret" not in message
    assert "GET /fixed failed" in caplog.text


async def test_an_error_of_a_resource_keeps_its_headers() -> None:
    error = falcon.HTTPError(falcon.HTTP_410, description="gone", headers={"Deprecation": "true"})
    status, message, headers = await answer_to(error)
    assert (status, message, headers["deprecation"]) == (410, "gone", "true")


async def test_an_unknown_route_and_an_unknown_method() -> None:
    unknown = await answer_to(KeyError(), path="/nowhere")
    assert unknown[0] == 404
    assert unknown[1].startswith("The requested URL was not found on the server.")
    assert (await answer_to(KeyError(), "PUT"))[:2] == (
        405,
        "The method is not allowed for the requested URL.",
    )


async def test_a_long_message_is_cut() -> None:
    assert len((await answer_to(RefusedError(Kind.INVALID, "x" * 100_000)))[1]) < 8100
