"""Which addresses a list of networks holds."""

import pytest
from pydantic import ValidationError

from polytope_server.settings.frontend import FrontendSettings
from polytope_server.settings.networks import Networks


@pytest.mark.parametrize(
    ("address", "held"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("192.0.2.1", True),
        ("192.0.2.2", False),
        ("fd00::1", True),
        ("fe80::1", False),
        ("", False),
        ("proxy.example", False),
    ],
)
def test_addresses_of_both_versions_are_found(address: str, held: bool) -> None:
    assert (address in Networks(["10.0.0.1/8", "192.0.2.1", "fd00::/8"])) is held


def test_what_is_no_network_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"is 'proxy\.example': expected an address or a network"):
        FrontendSettings.model_validate({"proxies": ["10.0.0.0/8", "proxy.example"]})
