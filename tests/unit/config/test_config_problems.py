"""Mistakes, and how they are reported."""

from __future__ import annotations

import pytest


def test_a_typo_is_answered_with_the_nearest_key(problems):
    assert problems("frontend:\n  bind_to: x\n  prot: 80") == [
        "1.yaml:3: frontend.prot: value 80: unknown key; did you mean 'port'?"
    ]


def test_a_key_like_no_other_is_answered_with_all_keys_and_its_value_is_kept_back(problems):
    assert problems("garbage-collector: {xyz: hunter2}") == [
        "1.yaml:1: garbage-collector.xyz: unknown key; "
        "known: interval, threshold, hard_threshold, undownloaded_age, age, upload_age, metric_age, "
        "orphan_age, orphan_share, tombstone_age, tombstones, management"
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("frontend: {port: 70000}", "frontend.port: value 70000: expected less than or equal to 65535"),
        ("frontend: {workers: many}", "frontend.workers: value 'many': expected a whole number"),
        ("frontend: {proxy_support: 7}", "frontend.proxy_support: value 7: expected true or false"),
        (
            "frontend: {public_url: 'ftp://x'}",
            "frontend.public_url: value 'ftp://x': expected an address such as https://service.example.org",
        ),
        (
            "frontend: {limits: {burst: 5}}",
            "frontend.limits: value {...}: burst needs calls-per-second beside it",
        ),
        (
            "frontend: {limits: {calls-per-second: 10, burst: 5}}",
            "frontend.limits: value {...}: burst is 5: expected calls-per-second (10) or more",
        ),
        (
            "frontend: {limits: {calls-per-second: 0}}",
            "frontend.limits.calls-per-second: value 0: expected greater than 0",
        ),
        (
            "frontend: {limits: {per-user: many}}",
            "frontend.limits.per-user: value 'many': expected a whole number",
        ),
        (
            "collections: {c: {datasources: [d], limits: {per-role: {r: {x: nobody}}}}}",
            "collections.c.limits.per-role.r.x: value 'nobody': expected a whole number, none or unlimited",
        ),
        (
            "support: {default_url: ops@example.org}",
            "support.default_url: value 'ops@example.org': expected a text like "
            "'^(https?://|mailto:)[!-~]+$'",
        ),
        (
            "support: {default_url: 'https://x/expired'}",
            "support.default_url: value 'https://x/expired': expected an address without the word 'expired', "
            "which old clients fail on",
        ),
        (
            "worker: {management: {port: http}}",
            "worker.management.port: value 'http': expected a whole number",
        ),
        (
            "metrics: {request_duration_buckets: [1, 5, 5]}",
            "metrics.request_duration_buckets: value [...]: expected upper limits in seconds, above 0, each "
            "larger than the one before",
        ),
        ("frontend: [1]", "frontend: value [...]: expected a mapping"),
        (
            "garbage-collector: {age: soon}",
            "garbage-collector.age: value 'soon': a duration is a number of seconds or a text such as '60s', "
            "'24h', '1d12h'",
        ),
        (
            "garbage-collector: {threshold: 10X}",
            "garbage-collector.threshold: value '10X': a size is a number of bytes or a text such as '512K', "
            "'10M', '1.5G', '1T'",
        ),
        (
            "logging: {level: LOUD}",
            "logging.level: value 'LOUD': expected one of DEBUG, INFO, WARNING, ERROR, CRITICAL",
        ),
        (
            "logging: {mode: loud}",
            "logging.mode: value 'loud': expected 'json', 'prettyprint', 'console' or 'logserver'",
        ),
        ("admin: {roles: [a]}", "admin.roles: value [...]: expected roles by realm ({realm: [role]})"),
        ("coercion: {allow_lists: [a, 5]}", "coercion.allow_lists[1]: value 5: expected a text"),
        ("coercion: {allow_lists: a}", "coercion.allow_lists: value 'a': expected a list"),
        ("datasources: [a]", "datasources: value [...]: expected a mapping"),
        ("datasources: {a: b}", "datasources.a: value 'b': expected a mapping"),
        ("collections: [a]", "collections: value [...]: expected a mapping"),
        ("authentication: [a]", "authentication: value [...]: expected a mapping"),
        ("queue: local", "queue: value 'local': expected a mapping"),
        ("api-keys: 1", "api-keys: value 1: expected a mapping"),
        ("telemetry: 1", "telemetry: value 1: expected a mapping"),
    ],
)
def test_a_wrong_value_is_answered_with_place_value_and_what_is_accepted(problems, text, problem):
    assert problems(text)[0] == f"1.yaml:1: {problem}"


def test_the_file_that_a_value_came_from_is_named(problems):
    assert problems("frontend: {workers: 0}", "\nfrontend: {port: x}") == [
        "2.yaml:2: frontend.port: value 'x': expected a whole number",
        "1.yaml:1: frontend.workers: value 0: expected greater than or equal to 1",
    ]


def test_a_required_key_that_is_missing_is_described(problems):
    assert problems("collections: {c: {roles: x}}") == [
        "1.yaml:1: collections.c.datasources: is missing: "
        "Names of data sources, in order, or `{name: X, ...}` with overrides."
    ]


def test_all_mistakes_are_told_at_once(problems):
    text = "frontend: {port: x}\nqueue: {kafka: {}}\nauthentication: {r: {authenticators: {a: {type: x}}}}\n"
    assert [line.split(" ")[1] for line in problems(text + "datasources: {d: {type: y}}")] == [
        "frontend.port:",
        "queue.kafka:",
        "authentication.r.authenticators.a.type:",
        "datasources.d.type:",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "identity: {stub: {password: hunter2}}",
        "identity: {stub: {pasword: hunter2}}",
        "identity: {stub: {size: 'redis://user:hunter2@host'}}",
        "identity: {stub: {size: {password: hunter2}}}",
        "identity: {stub: {token: hunter2}}",
        "federation: {f: {secret: 'hunter2 x'}}",
        "federation: {f: {secret: [hunter2]}}",
    ],
)
def test_a_secret_is_never_repeated(problems, text):
    reported = problems(text)
    assert reported
    assert "hunter2" not in str(reported)


def test_what_several_types_accept_is_joined(problems):
    (problem,) = problems("request_store: {stub: {either: [1]}}")
    assert (
        problem
        == "1.yaml:1: request_store.stub.either: value [...]: expected a text, or expected a whole number"
    )


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("frontend: {3: 4}", "frontend[3]"),
        ("collections: {1: {roles: x, datasources: [d]}}\ndatasources: {d: {type: stub}}", "collections[1]"),
        ("datasources: {5: {type: stub}}", "datasources[5]"),
        ("authentication: {on: {}}", "authentication[True]"),
        ("admin: {roles: {r: [a]}}\nqueue: {1: {}}", "queue[1]"),
    ],
)
def test_a_key_that_yaml_takes_for_something_else_is_reported(problems, text, path):
    assert any(f"{path}: the key is not a text; write it in quotes" in line for line in problems(text))


def test_a_long_value_is_cut(problems):
    (problem,) = problems(f"frontend: {{workers: {'x' * 200}}}")
    assert "x" * 70 + "..." in problem
    assert "x" * 90 not in problem


def test_a_reason_that_repeats_a_secret_is_masked(problems):
    assert problems("request_store: {stub: {token: hunter2}}") == [
        "1.yaml:1: request_store.stub.token: value '***': the token *** is not good"
    ]


def test_a_section_that_is_not_known_is_a_warning(warnings):
    assert warnings("colections: {}\nx-other: {a: 1}")[0] == (
        "1.yaml:1: colections: unknown section; did you mean 'collections'?"
    )
    assert warnings("x-other: 1")[0].startswith(
        "1.yaml:1: x-other: unknown section; known: version, developer"
    )


def test_keys_without_effect_are_named(warnings):
    text = "frontend: {server: flask, port: 1}\ntelemetry: {a: 1}\n"
    text += "deployment: {worker: {replicas: 3, x: 1}, y: 2}\n"
    text += "queue: {stub: {old: x, size: 2}}\ndatasources: {d: {name: q}}\n"
    text += f"secrets: {{keys: [{'k' * 32}]}}"
    assert warnings(text) == [
        "1.yaml:1: frontend.server: no effect",
        "1.yaml:2: telemetry: no effect",
        "1.yaml:3: deployment.worker.x: no effect",
        "1.yaml:3: deployment.y: no effect",
        "1.yaml:4: queue.stub.old: no effect",
        "1.yaml:5: datasources.d.name: no effect",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "authentication: {x1: {}, realm-of-15x: {}}",
        "authentication: {x1: {}}\nidentity: {sql: {realm: realm-of-15x}}",
        "authentication: {x1: {}}\nfederation: {p: {secret: s, allowed-realms: [realm-of-15x]}}",
        "api-keys: {generator: {type: sql, allowed_realms: [x1, realm-of-15x]}}",
    ],
)
def test_realms_whose_users_could_be_one_are_refused(problems, text):
    assert problems(text) == [
        "the realms 'realm-of-15x' and 'x1' cannot be used together: two users could have one id; rename one"
    ]


def test_weak_federation_secrets_are_warned_of(warnings):
    assert any("federation.f" in text for text in warnings("federation: {f: {secret: short}}"))


LIMITED = "frontend: {workers: 2, limits: {calls-per-second: 5}}\n"


def test_a_limit_that_each_process_counts_for_itself_is_reported(warnings):
    assert warnings(LIMITED) == [
        "frontend.limits.calls-per-second: each of the 2 frontend.workers counts for itself in "
        "the cache 'memory'; use redis, memcached or mongodb"
    ]
    assert warnings(LIMITED + "caching: {redis: {}}") == []
    assert warnings(LIMITED.replace("workers: 2", "workers: 1")) == []
