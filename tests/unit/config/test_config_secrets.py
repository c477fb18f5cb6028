"""The secrets that stand in a configuration: which they are, and the section `secrets`."""

from __future__ import annotations

import pytest

from polytope_server.commands import config as commands
from polytope_server.commands.main import main
from polytope_server.config import load

QUEUE = "queue: {stub: {}}\n"
KEYS = f"secrets: {{keys: [{'k' * 32}, {'o' * 32}]}}\n"


def test_the_secrets_of_a_configuration_are_known_to_the_letter(config) -> None:
    text = """
identity: {stub: {password: 77777, token: of the stub}}
queue: {pin: {pin: typed secret}}
federation: {f: {secret: of-a-peer-of-ours}}
request_store: {stub: {url: 'mongodb://me:p%40ssword@host/?authSource=x'}}
datasources:
  d: {type: stub, url: 'https://h/?a=1&token=of%20d'}
  e: {type: http, url: 'http://h', headers: {Authorization: Bearer of-e, Accept: text/plain}}
collections: {c: {datasources: [d, e]}}
"""
    found = config(text)
    assert found.secrets == {
        *("77777", "of the stub", "stub", "typed secret", "of-a-peer-of-ours", "p%40ssword", "p@ssword"),
        *("of d", "Bearer of-e", "of-e"),
    }
    shown = f"{found!r} {found.settings} {found.collections}"
    assert not any(secret in shown for secret in ("of-a-peer", "77777", "p%40ss", "of%20d", "of-e"))


def test_a_secret_by_its_type_is_not_shown(config, problems, tmp_path, monkeypatch, capsys) -> None:
    file = tmp_path / "1.yaml"
    file.write_text("queue: {pin: {pin: typed secret}}")
    monkeypatch.setattr(commands, "load", lambda files: load(files, system_file=tmp_path / "none"))
    assert main(["config", "show", "-f", str(file)]) == 0
    shown = capsys.readouterr().out
    assert "pin: '***'" in shown
    assert "typed secret" not in shown


@pytest.mark.parametrize("pin", ["4711", "[4711, 4712]", "4711.5"])
def test_a_wrong_secret_by_its_type_is_not_shown_in_a_problem(problems, pin: str) -> None:
    (problem,) = problems(f"queue: {{pin: {{pin: {pin}}}}}")
    assert problem.startswith("1.yaml:1: queue.pin.pin: value '***': ")
    assert "471" not in problem


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (QUEUE, True),
        (QUEUE + KEYS, False),
        (QUEUE + "secrets: {file: /k}", False),
        ("queue: {local: {}}", False),
    ],
)
def test_several_machines_without_a_key_are_warned_of(warnings, text: str, expected: bool) -> None:
    assert any(found.startswith("secrets: gives no keys") for found in warnings(text)) is expected


def test_what_is_wrong_with_keys_is_told_without_them(problems) -> None:
    assert problems("secrets: {keys: [too-short]}") == [
        "1.yaml:1: secrets.keys[0]: value '***': expected at least 32 random characters"
    ]
    (both,) = problems(f"secrets: {{file: /k, keys: [{'k' * 32}]}}")
    assert both.endswith("give either `keys` or `file`")
    assert "kkk" not in both
