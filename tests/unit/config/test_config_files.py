"""Reading, expanding and merging files."""

from __future__ import annotations

import pwd
from pathlib import Path

import pytest

from polytope_server.config import load
from polytope_server.settings import ConfigurationError


def test_without_any_file_the_embedded_back_ends_are_chosen(tmp_path):
    settings = load([], system_file=tmp_path / "none").settings
    assert (settings.request_store, settings.queue, settings.identity) == ({"sql": {}}, {"local": {}}, {})


@pytest.mark.parametrize(
    "text", ["", "---\n---\n", "# only a comment", "frontend:\ncollections:\nlogging:\n"]
)
def test_empty_documents_and_null_sections_are_nothing(config, text):
    assert config(text).settings == config().settings


def test_later_files_and_documents_win(config):
    settings = config(
        "frontend: {port: 1, workers: 2}\n---\nfrontend: {port: 2}", "frontend: {port: 3}"
    ).settings
    assert (settings.frontend.port, settings.frontend.workers) == (3, 2)


def test_the_system_file_comes_first(tmp_path):
    system, own = tmp_path / "system.yaml", tmp_path / "own.yaml"
    system.write_text("frontend: {port: 1, workers: 2}")
    own.write_text("frontend: {port: 3}")
    frontend = load([own], system_file=system).settings.frontend
    assert (frontend.port, frontend.workers) == (3, 2)


def test_files_of_the_environment_come_between(tmp_path):
    files = [tmp_path / f"{name}.yaml" for name in ("system", "one", "two", "own")]
    for number, file in enumerate(files):
        file.write_text(f"telemetry: {{{file.stem}: {number}, last: {number}}}")
    system, one, two, own = files
    environ = {"POLYTOPE_CONFIG_FILES": f"{one}:{two}"}
    assert load([own], environ=environ, system_file=system).raw["telemetry"]["last"] == 3
    raw = load([], environ=environ, system_file=system).raw["telemetry"]
    assert raw == {"system": 0, "one": 1, "two": 2, "last": 2}
    assert load([], environ={"POLYTOPE_CONFIG_FILES": ""}, system_file=system).raw["telemetry"]["last"] == 0


def test_a_missing_file_of_the_environment_names_the_variable(tmp_path):
    environ = {"POLYTOPE_CONFIG_FILES": str(tmp_path / "none.yaml")}
    with pytest.raises(ConfigurationError, match=r"none\.yaml: cannot be read.*POLYTOPE_CONFIG_FILES"):
        load([], environ=environ, system_file=tmp_path / "system")


def test_lists_are_joined(config):
    first, second = "coercion: {allow_lists: [a]}", "coercion: {allow_lists: [b]}"
    assert config(first, second).settings.coercion.allow_lists == ["a", "b"]


def test_of_two_types_the_later_wins(config):
    assert config("version: {a: 1}", "version: 2").raw == {"version": 2}
    assert config("telemetry: [1]", "telemetry: {a: 1}").raw == {"telemetry": {"a": 1}}


def test_a_later_null_removes_a_key_and_it_may_come_back(config):
    assert config("telemetry: {a: 1, b: 2}", "telemetry: {a: null}").raw == {"telemetry": {"b": 2}}
    assert config("frontend: {port: 1}", "frontend: null").settings.frontend.port == 5000
    assert config("telemetry: {a: 1}", "telemetry: null", "telemetry: {b: 1}").raw == {"telemetry": {"b": 1}}


def test_variables_and_home_are_expanded_in_every_text(config):
    text = "telemetry: {a: $A, b: ['x${B}y', $NO, '${NO}'], c: ~/d, d: '~', e: a~}"
    raw = config(text, A="1", B="$A", HOME="/home/me").raw["telemetry"]
    assert raw == {"a": "1", "b": ["x$Ay", "$NO", "${NO}"], "c": "/home/me/d", "d": "/home/me", "e": "a~"}


def test_without_home_a_tilde_stays_and_another_users_home_is_known(config):
    root = pwd.getpwuid(0)
    raw = config(f"telemetry: {{a: ~/x, b: ~{root.pw_name}/x}}").raw["telemetry"]
    assert raw == {"a": "~/x", "b": f"{root.pw_dir}/x"}


def test_the_hash_of_a_password_is_not_expanded(config):
    text = "telemetry: {a: '$argon2id$v=19$m=65536'}"
    assert config(text, v="x", m="y", argon2id="z").raw["telemetry"]["a"] == "$argon2id$v=19$m=65536"


def test_a_number_may_come_from_the_environment(config):
    assert config("frontend: {port: $PORT}", PORT="8080").settings.frontend.port == 8080


def test_anchors_and_merge_keys_work_and_may_be_overridden(config):
    text = "telemetry: {a: &a {x: 1, y: 2}, b: {<<: *a, y: 3}, c: *a, d: {<<: [*a, {z: 1}]}}"
    assert config(text).raw["telemetry"] == {
        "a": {"x": 1, "y": 2},
        "b": {"x": 1, "y": 3},
        "c": {"x": 1, "y": 2},
        "d": {"x": 1, "y": 2, "z": 1},
    }


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("frontend: {port: 1\nworker: 2", "1.yaml:2:7: expected ',' or '}', but got ':'"),
        ("a: [b", "1.yaml:1:6: expected ',' or ']', but got '<stream end>'"),
        ("frontend:\n  port: 1\n  port: 2", "1.yaml:3:3: key 'port' is given twice"),
        ("? [a]\n: 1", "1.yaml:1:3: a key must be a plain text"),
        ("- a\n- b", "1.yaml:1:1: expected sections: a mapping of keys to values"),
        ("telemetry: &t {a: *t}", "1.yaml:1:12: an alias refers to what it is in"),
        ("telemetry: !!set {a}", "1.yaml:1:12: the tag tag:yaml.org,2002:set is not accepted"),
        (
            "telemetry: !!python/object/apply:os.system ['true']",
            "1.yaml:1:12: the tag tag:yaml.org,2002:python/object/apply:os.system is not accepted",
        ),
        (
            "telemetry: !!python/name:os.system",
            "1.yaml:1:12: could not determine a constructor for the tag "
            "'tag:yaml.org,2002:python/name:os.system'",
        ),
        (
            "a: \x07",
            "1.yaml: is no YAML: unacceptable character #x0007: special characters are not allowed",
        ),
    ],
)
def test_what_is_no_yaml_is_answered_with_its_place(problems, text, problem):
    assert problems(text) == [problem]


def test_files_that_cannot_be_read_are_all_named(tmp_path):
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"a: \xff")
    missing = Path("/no/such/file.yaml")
    with pytest.raises(ConfigurationError) as caught:
        load([missing, binary, tmp_path], system_file=missing)
    assert caught.value.problems == [
        "/no/such/file.yaml: cannot be read: No such file or directory",
        f"{binary}: is not a text in UTF-8: invalid start byte at byte 3",
        f"{tmp_path}: cannot be read: Is a directory",
    ]
