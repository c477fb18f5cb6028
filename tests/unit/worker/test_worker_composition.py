"""What a worker gives to its child processes."""

import json

from polytope_server.config import load
from polytope_server.language import CoercionRules
from polytope_server.worker import child
from polytope_server.worker.composition import make_child_config


def test_data_sources_read_requests_as_the_frontend_does(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text("coercion: {number_allow_zero: true, allow_ranges: [levelist]}")
    sent = json.loads(json.dumps(make_child_config(load([file]))))
    rules = CoercionRules(allow_ranges=CoercionRules().allow_ranges | {"levelist"}, number_allow_zero=True)
    assert child.read_rules(sent["coercion"]) == rules
    server = child.Server(None)
    source = {"collection": "c", "name": "e", "type": "echo", "settings": {}}
    server.configure([source], rules)
    assert server.sources["c", "e"].coercion == rules


def test_children_get_the_secrets_of_data_sources(tmp_path):
    # As text in a settings of type SecretStr, which JSON would have as asterisks
    file = tmp_path / "config.yaml"
    file.write_text(
        "datasources: {there: {type: federated, url: https://peer.example.org, collection: c, "
        "secret: of-two-servers-only}}\ncollections: {c: {roles: [default], datasources: [there]}}"
    )
    sent = json.loads(json.dumps(make_child_config(load([file]))))
    assert sent["sources"][0]["settings"]["secret"] == "of-two-servers-only"
