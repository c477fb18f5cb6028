"""What is shown: masking, the commands, the schema, the reference page, an earlier server's file."""

from __future__ import annotations

import argparse
import json
from functools import cache
from pathlib import Path

import jsonschema
import pytest
import yaml

from polytope_server.commands import config as commands
from polytope_server.config import load, reference
from polytope_server.config.schema import installed, json_schema
from polytope_server.settings import backends
from polytope_server.settings.masking import mask

HERE = Path(__file__).parent
EARLIER, EMBEDDED = HERE / "earlier_server.yaml", HERE / "embedded.yaml"
SECRETS = (
    *("password", "passwd", "secret", "secret_key", "access-key", "token", "key", "api_key", "X-Api-Key"),
    *("client_secret", "private_client_secret", "ldap_password", "override_apikey", "ecmwf-apikey"),
    *("Authorization", "Cookie"),
)
STUBS = {"stub", "strict", "feature", "uninstalled"}
PAGE = HERE.parents[2] / "docs" / "configuration.md"


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Runs `config ...` with files; returns the exit status."""
    monkeypatch.setattr(commands, "load", lambda files: load(files, system_file=tmp_path / "none"))

    def run_command(name, *files):
        parser = argparse.ArgumentParser()
        commands.add_parser(parser.add_subparsers())
        options = parser.parse_args(["config", name, *(word for file in files for word in ("-f", str(file)))])
        return options.run(options)

    return run_command


@pytest.mark.parametrize("name", SECRETS)
def test_secrets_are_masked(name):
    assert mask({"a": [{name: "hunter2"}], name: ["hunter2", 5, None, True]}) == {
        "a": [{name: "***"}],
        name: ["***", "***", None, True],
    }


def test_credentials_in_addresses_are_masked():
    assert mask(
        {"uri": "mongodb://me:p@ss@host/db", "url": "https://h/?a=1&token=x&b=2", "u": "http://h/@x"}
    ) == {
        "uri": "mongodb://***@host/db",
        "url": "https://h/?a=1&token=***&b=2",
        "u": "http://h/@x",
    }


def test_what_is_no_secret_stays():
    section = {
        "api-keys": {"generator": {"type": "sql"}},
        "uid": "x",
        "keys": [1],
        "client_id": "y",
        "n": None,
    }
    assert mask(section) == section


def test_check_says_ok_and_warns(run, tmp_path, capsys):
    file = tmp_path / "f.yaml"
    file.write_text("timeout: 5")
    assert run("check", file) == 0
    assert capsys.readouterr().out == f"warning: {file}:1: timeout: no effect\nok\n"


@pytest.mark.parametrize("command", ["check", "show"])
def test_problems_go_to_standard_error_with_status_1(run, tmp_path, capsys, command):
    file = tmp_path / "f.yaml"
    file.write_text("frontend: {prot: 5}")
    assert run(command, file) == 1
    assert capsys.readouterr() == (
        "",
        f"{file}:1: frontend.prot: value 5: unknown key; did you mean 'port'?\n",
    )


def test_what_is_shown_loads_again_and_holds_no_secret(run, tmp_path, capsys):
    text = """
identity: {stub: {password: 77777}}
federation: {f: {secret: hunter2hunter2hunter2}}
datasources: {d: {type: stub, url: 'http://me:hunter2@h/', match: {date: 2020-01-01}}}
collections: {c: {roles: {r: [x]}, datasources: [{name: d, size: 2}], limits: {per-user: 1}}}
"""
    file, shown = tmp_path / "f.yaml", tmp_path / "shown.yaml"
    file.write_text(text)
    assert run("show", file) == 0
    shown.write_text(capsys.readouterr().out)
    assert "hunter2" not in shown.read_text()
    assert "77777" not in shown.read_text()
    again = yaml.safe_load(shown.read_text())
    assert again["garbage-collector"]["interval"] == 60
    again["identity"] = None
    shown.write_text(yaml.safe_dump(again))
    keys = load([shown]).collections["c"].datasources[0].keys
    assert set(keys) == {"type", "url", "match", "name", "size"}


def test_the_schema_is_printed(run, capsys):
    assert run("schema") == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(json_schema()))


@cache
def validator_of_stubs():
    schema = json.loads(json.dumps(json_schema()))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.fixture
def validator():
    return validator_of_stubs()


def test_the_built_in_configuration_conforms_to_the_schema(validator):
    settings = load([], system_file=Path("/none")).settings
    validator.validate({})
    validator.validate(
        {
            key: {name: value for name, value in section.items() if value is not None}
            for key, section in settings.model_dump(mode="json", by_alias=True, exclude_none=True).items()
            if isinstance(section, dict)
        }
    )


@pytest.mark.parametrize(
    "text",
    [
        "frontend: {port: '80', poll_wait: 10s}",
        "unknown: {a: 1}",
        "deployment: {image: x}",
        "queue: {stub: {size: 2}}\nstaging: {stub: }",
        "authentication: {cache: 60s, r: {authenticators: {a: {type: stub, size: 1}}}}",
        "api-keys: {generator: {type: stub, size: 2}, authenticator: null}",
        "api-keys: {authenticator: {type: mongoapikey, host: mongodb, port: 27017, collection: keys}}",
        "authentication: {polytope: {authenticators: {k: {type: mongoapikey, port: '27017'}}}}",
        "caching: {globalvar: {}}",
        "datasources: {d: {type: strict, match: {a: b}}, p: {anything: 1}, m: {type: mars, command: x}}",
        "collections: {c: {datasources: [a, {name: b, size: 1}], roles: {r: x}, limits: {per-user: 1}}}",
        "garbage-collector: {threshold: 10G, age: 1d}",
    ],
)
def test_what_loads_conforms_to_the_schema(validator, text):
    validator.validate(yaml.safe_load(text))


@pytest.mark.parametrize(
    "text",
    [
        "frontend: {prot: 80}",
        "frontend: {port: http}",
        "queue: {sqs: {}}",
        "queue: {stub: {siz: 2}}",
        "authentication: {r: {authenticators: {a: {type: stub, siz: 1}}}}",
        "authentication: {r: {authenticators: {a: {type: nothing}}}}",
        "authentication: {r: {authenticators: {a: {}}}}",
        "authentication: {r: {x: 1}}",
        "api-keys: {generator: {type: stub, siz: 2}}",
        "api-keys: {x: 1}",
        "datasources: {d: {type: strict, url: 1}}",
        "datasources: {d: {type: stub, max_attempts: 0}}",
        "collections: {c: {roles: x}}",
        "federation: {f: {}}",
    ],
)
def test_what_does_not_load_does_not_conform_to_the_schema(validator, text):
    with pytest.raises(jsonschema.ValidationError):
        validator.validate(yaml.safe_load(text))


def test_every_key_has_a_description_and_a_default_or_is_required():
    schema = json_schema()
    for model in [schema, *schema["$defs"].values()]:
        for name, key in model.get("properties", {}).items():
            assert key.get("description"), (model["title"], name)
            assert "default" in key or name in model["required"], (model["title"], name)


def test_back_ends_that_cannot_be_loaded_are_left_out():
    assert {"stub", "strict"} <= set(installed("queue"))
    assert "uninstalled" not in installed("queue")


def test_the_reference_page_is_the_generated_one(monkeypatch):
    real = {
        concern: {
            name: target for name, target in known.items() if "stub" not in target and "no_such" not in target
        }
        for concern, known in backends.BUILT_IN.items()
    }
    monkeypatch.setattr(backends, "BUILT_IN", real)
    assert PAGE.read_text() == reference.page(), (
        "run: python -m polytope_server.config.reference > docs/configuration.md"
    )


def test_an_earlier_servers_file_loads(config):
    configuration = config(EARLIER.read_text())
    named = [source.type for source in configuration.collections["operational"].datasources]
    assert named == ["polytope", "fdb", "mars"]


def test_with_embedded_back_ends_an_earlier_servers_file_loads(config):
    configuration = config(EARLIER.read_text(), EMBEDDED.read_text())
    settings = configuration.settings
    assert (settings.frontend.port, settings.deployment.worker.replicas) == (32002, 12)
    assert (settings.garbage_collector.threshold, settings.garbage_collector.metric_age) == (
        1 << 40,
        31536000,
    )
    assert (settings.request_store, settings.caching) == ({"sql": {}}, {"globalvar": {}})
    (source,) = configuration.collections["operational"].datasources
    assert source.keys["match"] == {"class": ["od"], "date": [">0d", "<30d"], "stream": ["oper", "enfo"]}


def test_what_has_no_effect_in_an_earlier_servers_file_is_named(warnings):
    found = warnings(EARLIER.read_text(), EMBEDDED.read_text())
    assert [text.split(": ")[1] for text in found if text.endswith(": no effect")] == [
        *("version", "developer", "deployment.image", "deployment.frontend", "deployment.worker.resources"),
        *("logging.primary_fields", "logging.reserved_attrs", "frontend.server", "frontend.handler"),
        *("worker.poll_interval", "timeout", "telemetry", "metrics.prefix"),
    ]
