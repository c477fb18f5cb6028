import pytest

from polytope_server.collection import Limits, has_access
from polytope_server.config.settings import WorkerSettings
from polytope_server.request import (
    TERMINAL,
    TRANSITIONS,
    IllegalTransitionError,
    Request,
    Status,
    check_transition,
)
from polytope_server.retry import after_failure, after_lost_lease
from polytope_server.user import User


def test_the_id_of_a_user_is_that_of_earlier_servers() -> None:
    assert User("alice", "testrealm").id == "ab7a2938-eb15-5c1a-9042-71d515527755"


def test_the_same_name_in_two_realms_is_two_users() -> None:
    assert User("alice", "a").id != User("alice", "b").id


def test_secrets_of_a_user_do_not_show() -> None:
    user = User("alice", "r", attributes={"ecmwf-apikey": "secret"})
    assert "secret" not in repr(user)
    assert "secret" not in str(user.to_document())


def test_roles_are_added_once_and_in_order() -> None:
    user = User("alice", "r").with_roles(["a", "default", "b"], {"x": "1"})
    assert user.roles == ("default", "a", "b")
    assert user.attributes == {"x": "1"}


def test_a_user_comes_back_from_its_document() -> None:
    user = User("alice", "r", ("default", "x"))
    assert User.from_document(user.to_document()) == user


def test_nothing_follows_a_terminal_state() -> None:
    assert all(not TRANSITIONS[status] for status in TERMINAL)
    with pytest.raises(IllegalTransitionError, match="processed to waiting"):
        check_transition(Status.PROCESSED, Status.WAITING)


def test_every_state_but_the_first_ones_can_be_reached() -> None:
    reached = {status for following in TRANSITIONS.values() for status in following}
    assert reached == set(Status) - {Status.UPLOADING}


def test_the_document_of_a_request_has_the_fields_of_the_list_routes() -> None:
    document = Request(User("alice", "r"), "c", timestamp=5.0).to_document()
    assert set(document) == {
        *("id", "timestamp", "last_modified", "user", "verb", "url", "md5", "collection", "status"),
        *("user_message", "user_request", "coerced_request", "content_length", "content_type"),
        *("status_history", "datasource"),
    }
    assert document["status_history"] == {"waiting": 5.0}
    assert document["last_modified"] == 5.0
    assert set(document["user"]) == {"id", "username", "realm", "roles", "attributes"}


@pytest.mark.parametrize(
    ("roles", "expected"),
    [
        ({"r": ["x", "member"]}, True),
        ({"r": "member"}, True),
        ({"r": "any"}, True),
        ({"r": ["other"]}, False),
        ({"other": ["member"]}, False),
        (["member"], True),
        ("member", True),
        ({}, False),
        (None, False),
        ({"r": []}, False),
    ],
)
def test_access_by_role_and_realm(roles: object, expected: bool) -> None:
    assert has_access(roles, "r", ("default", "member")) is expected  # type: ignore[arg-type]


def test_the_limit_of_a_user_without_limits_is_none() -> None:
    assert Limits().of_user(User("a", "r")) is None
    assert Limits(per_user=0).of_user(User("a", "r")) is None
    assert Limits(per_user=2, per_role={"other": {"default": 9}}).of_user(User("a", "r")) == 2


def test_a_failed_attempt_is_tried_again_later_each_time() -> None:
    settings = WorkerSettings(max_attempts=3, retry_delay=2)
    request = Request(User("a", "r"), "c", status=Status.PROCESSING)
    status, changes = after_failure(request, "broken", settings, None)
    assert (status, changes["failures"], changes["delay"]) == (Status.QUEUED, 1, 2)
    request.failures = 1
    status, changes = after_failure(request, "broken", settings, None)
    assert changes["delay"] == 4


def test_after_the_last_attempt_the_request_fails_with_the_reason() -> None:
    settings = WorkerSettings(max_attempts=3)
    request = Request(User("a", "r"), "c", status=Status.PROCESSING, failures=2)
    status, changes = after_failure(request, "broken", settings, None)
    assert status is Status.FAILED
    assert changes["user_message"] == "broken\nGiven up after 3 attempts."


def test_a_lost_lease_is_no_failure_and_the_first_costs_no_pause() -> None:
    settings = WorkerSettings(retry_delay=2, max_attempts=1, max_lost_leases=4)
    request = Request(User("a", "r"), "c", status=Status.PROCESSING)
    delays = []
    for lost in range(3):
        request.lost_leases = lost
        status, changes = after_lost_lease(request, settings)
        assert (status, changes["lost_leases"]) == (Status.QUEUED, lost + 1)
        assert "failures" not in changes
        delays.append(changes["delay"])
    assert delays == [0, 2, 4]


def test_a_request_that_has_lost_too_many_workers_fails() -> None:
    settings = WorkerSettings(max_lost_leases=4)
    request = Request(User("a", "r"), "c", status=Status.PROCESSING, lost_leases=3)
    status, changes = after_lost_lease(request, settings)
    assert status is Status.FAILED
    assert changes["user_message"] == "The worker ended unexpectedly.\nGiven up after 4 attempts."


def test_a_data_source_has_its_own_number_of_attempts() -> None:
    request = Request(User("a", "r"), "c", status=Status.PROCESSING)
    status, changes = after_failure(request, "broken", WorkerSettings(), 1)
    assert (status, changes["user_message"]) == (Status.FAILED, "broken")
