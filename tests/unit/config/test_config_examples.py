"""The examples of data sources in `polytope-deployment/config/` are accepted, and name what they are for."""

from __future__ import annotations

from pathlib import Path

import pytest

from polytope_server.config import load
from polytope_server.datasource import factory

pytestmark = pytest.mark.usefixtures("real_backends")
EXAMPLES = Path(__file__).parents[3] / "polytope-deployment" / "config"
REALM = "authentication: {people: {authenticators: {users: {type: sql}}}}\nidentity: {sql: {realm: people}}"
SECRETS = {"PARTNER_SECRET": "the-one-of-the-partner", "OWN_SECRET": "the-one-of-this-server"}


@pytest.mark.parametrize(
    ("kind", "collection", "archives"),
    [("federated", "partner", True), ("ionbeam", "observations", True)],
)
def test_an_example_is_accepted_without_a_warning(
    tmp_path: Path, kind: str, collection: str, archives: bool
) -> None:
    realm = tmp_path / "realm.yaml"
    realm.write_text(REALM)
    found = load([realm, EXAMPLES / f"{kind}.yaml"], environ=SECRETS, system_file=tmp_path / "none")
    (source,) = found.collections[collection].datasources
    assert (source.type, factory.archives(source)) == (kind, archives)
    assert found.warnings == []
