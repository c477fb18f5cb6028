import pytest

from polytope_server.collection import Collection, Limits, UserLimit
from polytope_server.request import (
    TERMINAL,
    TRANSITIONS,
    IllegalTransitionError,
    Request,
    Status,
    check_transition,
)
from polytope_server.retry import after_failure, after_lost_lease
from polytope_server.roles import has_role
from polytope_server.settings.processes import WorkerSettings
from polytope_server.user import User, may_share_ids


def test_the_id_of_a_user_is_that_of_earlier_servers() -> None:
    assert User("alice", "testrealm").id == "ab7a2938-eb15-5c1a-9042-71d515527755"


def test_the_same_name_in_two_realms_is_two_users() -> None:
    assert User("alice", "a").id != User("alice", "b").id


def test_two_users_of_odd_realms_would_be_one() -> None:
    (name, realm), (other_name, other_realm) = ("alice", "realm-of-15x"), ("alice5realm-of-", "x1")
    assert User(name, realm).id == User(other_name, other_realm).id
    assert may_share_ids(realm, other_realm)
    assert may_share_ids(other_realm, realm)


def test_realms_that_cannot_share_ids_are_told_from_those_that_can() -> None:
    """Compared with all names of up to 300 letters; the answer is no for most of these realms."""
    found = {}
    for digits in range(100):
        realm = f"realm-of-{digits:02}x"
        texts = [f"{'n' * length}{length}realm-of-{digits:02}" for length in range(1, 300)]
        found[realm] = any(text[place:] == str(place) for text in texts for place in range(1, len(text)))
    assert {realm: may_share_ids(realm, "x1") for realm in found} == found
    assert 0 < sum(found.values()) < 100


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("site", "site"),
        ("site", "mysite"),
        ("a", "ba"),
        ("ecmwf", "polytope"),
        ("site1", "site11"),
        ("", "1"),
    ],
)
def test_usual_realms_share_no_ids(one: str, other: str) -> None:
    assert not may_share_ids(one, other)


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
    assert has_role(roles, "r", ("default", "member")) is expected  # type: ignore[arg-type]


def test_the_limit_of_a_user_without_limits_is_none() -> None:
    assert Limits().of_user(User("a", "r")) is None
    assert Limits(per_user=0).of_user(User("a", "r")) is None
    assert Limits(per_user=2, per_role={"other": {"default": 9}}).of_user(User("a", "r")) == 2


@pytest.mark.parametrize(
    ("roles", "per_user", "limit"),
    [
        (["few"], 4, 2),
        (["few", "many"], 4, 9),
        (["unheard of"], 4, 4),
        (["unheard of"], 0, None),
        (["unheard of"], None, None),
        (["unheard of"], "none", 0),
        (["unheard of"], "unlimited", None),
        # 0 says nothing, as in the files of earlier servers.
        (["silent"], 4, 4),
        (["silent"], None, None),
        (["silent"], "none", 0),
        (["silent", "few"], 4, 2),
        (["lifted"], 4, None),
        (["lifted"], "none", None),
        (["lifted", "many", "silent"], 4, None),
        (["blocked"], 4, 0),
        (["blocked"], "unlimited", 0),
        (["blocked", "many", "lifted"], 4, 0),
        ([], "none", 0),
        ([], 4, 4),
    ],
)
def test_the_roles_of_a_user_give_the_limit(
    roles: list[str], per_user: UserLimit | None, limit: int | None
) -> None:
    of_roles: dict[str, UserLimit] = {
        "few": 2,
        "many": 9,
        "silent": 0,
        "lifted": "unlimited",
        "blocked": "none",
    }
    limits = Limits(per_user=per_user, per_role={"r": of_roles, "other": {"few": "none"}})
    assert limits.of_user(User("a", "r", tuple(roles))) == limit


def test_who_may_have_no_request_may_not_use_the_collection() -> None:
    collection = Collection("c", (), ["any"], Limits(per_user=1, per_role={"r": {"blocked": "none"}}))
    assert collection.admits(User("a", "r"))
    assert not collection.admits(User("a", "r", ("default", "blocked")))
    assert Collection("c", (), ["any"], Limits(total=0, per_user=0)).admits(User("a", "r"))


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
