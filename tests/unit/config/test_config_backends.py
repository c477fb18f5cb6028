"""Sections that choose back-ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from polytope_server.settings import ConfigurationError, backend_settings, create_backend
from polytope_server.settings.values import parse_duration, parse_size


def test_a_back_end_is_created_with_its_settings_and_the_data_folder():
    stub = create_backend("queue", {"stub": {"size": "3"}}, Path("/data"))
    settings, data = stub.arguments
    assert (settings.size, data) == (3, Path("/data"))


def test_null_stands_for_the_defaults_of_a_back_end():
    assert create_backend("queue", {"stub": None}, Path()).arguments[0].size == 1


def test_a_removed_back_end_beside_another_is_ignored(config):
    assert config("queue: {rabbitmq: null, stub: {}}").settings.queue == {"stub": {}}
    assert create_backend("queue", {"rabbitmq": None, "stub": {}}, Path()).arguments[0].size == 1


def test_two_back_ends_in_a_section_are_an_error(problems):
    text = "queue: {stub: {}, strict: {path: /}}"
    expected = "names 'stub' and 'strict': keep one, and set the other to null in the later file"
    assert problems(text) == [f"1.yaml:1: queue: {expected}"]
    with pytest.raises(ConfigurationError, match=r"^configuration: queue: names 'stub' and 'strict'"):
        create_backend("queue", {"stub": {}, "strict": {}}, Path())


def test_a_section_without_a_back_end_cannot_be_created():
    with pytest.raises(ConfigurationError, match="identity: is missing; available: "):
        create_backend("identity", {}, Path())


@pytest.mark.parametrize("text", ["identity: {}", "identity:", "identity: {none: {}}", "identity: {none: }"])
def test_identity_is_off_unless_named(config, text):
    assert config(text).settings.identity == {}


def test_an_empty_section_is_the_embedded_back_end(config):
    assert config("staging: {}\nqueue: {local: }").settings.staging == {"local": {}}


def test_a_back_end_that_is_not_built_is_named(problems):
    (problem,) = problems("queue: {sqs: {queue_name: q}}")
    assert problem.startswith("1.yaml:1: queue.sqs: queue 'sqs' is not part of this version; available: ")


def test_notices_go_by_the_queue_unless_the_configuration_says_otherwise(config):
    queue = "queue: {rabbitmq: {host: h}}"
    assert config(queue).settings.notices == {"rabbitmq": {"host": "h"}}
    assert config(queue, "notices: {local: {}}").settings.notices == {"local": {}}
    assert config("frontend: {port: 1}").settings.notices == {"local": {}}


def test_a_back_end_that_is_not_installed_is_answered_with_what_to_install(problems):
    (problem,) = problems("queue: {uninstalled: {}}")
    assert "queue 'uninstalled' needs the Python package 'no_such_package': install it with" in problem
    assert "pip install no_such_package`" in problem


def test_keys_of_back_ends_are_checked(problems):
    assert problems("request_store: {stub: {siz: 1}}") == [
        "1.yaml:1: request_store.stub.siz: value 1: unknown key; did you mean 'size'?"
    ]


def test_null_keys_of_back_ends_are_their_defaults(config):
    assert config("request_store: {stub: {size: null}}").settings.request_store == {"stub": {"size": None}}
    assert create_backend("request_store", {"stub": {"size": None}}, Path()).arguments[0].size == 1


def test_what_valid_settings_warn_of_is_reported(warnings):
    assert warnings("request_store: {strict: {path: x}}") == [
        "1.yaml:1: request_store.strict: the path is relative"
    ]


def test_settings_of_a_back_end_are_checked_for_others():
    assert backend_settings("authorizer", "stub", {"type": "stub", "size": 2}, "p").size == 2
    with pytest.raises(
        ConfigurationError, match=r"^configuration: authentication\.r\.x\.size: value 0: expected"
    ):
        backend_settings("authorizer", "stub", {"size": 0}, "authentication.r.x")
    with pytest.raises(ConfigurationError, match=r"^configuration: p\.hosts\[1\]: value 2: expected a text$"):
        backend_settings("authorizer", "stub", {"hosts": ["a", 2]}, "p")


def test_authenticators_and_authorizers_are_checked_by_type(problems):
    text = """
authentication:
  r:
    authenticators:
      a: {type: stub, size: 0}
      b: {type: nothing}
      c: {size: 1}
    authorizers:
      d: {type: [x]}
      e: {typ: stub}
"""
    found = problems(text)
    assert (
        found[0]
        == "1.yaml:5: authentication.r.authenticators.a.size: value 0: expected greater than or equal to 1"
    )
    assert found[1].startswith(
        "1.yaml:6: authentication.r.authenticators.b.type: authenticator 'nothing' is not "
    )
    assert found[2].startswith("1.yaml:7: authentication.r.authenticators.c.type: is missing; available: ")
    assert found[3].startswith("1.yaml:9: authentication.r.authorizers.d.type: is missing; available: ")
    assert len(found) == 5


def test_an_unknown_key_of_a_realm_is_an_error(problems):
    assert problems("authentication: {r: {authenticator: {a: {type: stub}}}}") == [
        "1.yaml:1: authentication.r.authenticator: value {...}: unknown key; did you mean 'authenticators'?"
    ]


def test_realms_are_complete_and_null_ones_tolerated(config):
    text = "authentication: {cache: 1m, r: {authenticators: {a: {type: stub}}, authorizers: }, s: }"
    empty = {"authenticators": {}, "authorizers": {}}
    assert config(text).settings.authentication == {
        "cache": "1m",
        "r": {**empty, "authenticators": {"a": {"type": "stub"}}},
        "s": empty,
    }
    assert config("authentication: {cache: }").settings.authentication == {}


@pytest.mark.parametrize("cache", ["2h", "soon"])
def test_the_time_that_credentials_are_remembered_is_checked(problems, cache):
    (problem,) = problems(f"authentication: {{cache: {cache}}}")
    assert problem.startswith(f"1.yaml:1: authentication.cache: value '{cache}': ")


def test_a_service_of_the_earlier_server_is_no_realm(problems, config):
    service = {"url": "http://u", "secret": "s"}
    text = f"authentication: {{auth-o-tron: {service}, r: }}"
    assert config(text).settings.authentication == {
        "auth-o-tron": service,
        "r": {"authenticators": {}, "authorizers": {}},
    }
    assert config("authentication: {auth-o-tron: }").settings.authentication == {}
    (problem,) = problems("authentication: {auth-o-tron: {authenticators: {a: {type: plain}}, secret: s}}")
    assert problem == (
        "1.yaml:1: authentication.auth-o-tron.authenticators: unknown key; "
        "known: url, secret, public_keys, jwks_url, issuer, audience, timeout"
    )


def test_api_keys_are_checked_by_type(problems, config):
    found = problems("api-keys: {generator: {type: stub, size: 0}, authenticator: {}, x: 1}")
    assert found == ["1.yaml:1: api-keys.x: unknown key; known: generator, authenticator"]
    found = problems("api-keys: {generator: {type: stub, size: 0}, authenticator: {}}")
    assert found[0] == "1.yaml:1: api-keys.generator.size: value 0: expected greater than or equal to 1"
    assert found[1].startswith("1.yaml:1: api-keys.authenticator.type: is missing; available: ")
    assert config("api-keys: {generator: {type: stub}, authenticator: }").settings.api_keys == {
        "generator": {"type": "stub"}
    }


@pytest.mark.parametrize(
    ("text", "seconds"), [(90, 90), ("60", 60), ("60s", 60), ("1d12h", 129600), ("1.5h", 5400), ("2m1s", 121)]
)
def test_durations(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "1x", "-1", -1, True, None, "inf", "nan", [1], "1s2m"])
def test_what_is_no_duration(text):
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        (10, 10),
        ("10", 10),
        ("1.5G", 3 << 29),
        ("10GB", 10 << 30),
        ("1KiB", 1024),
        ("2 t", 2 << 40),
        ("5B", 5),
    ],
)
def test_sizes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "G", "-1", True, None, "1.5X", "1e3"])
def test_what_is_no_size(text):
    with pytest.raises(ValueError, match="size"):
        parse_size(text)
