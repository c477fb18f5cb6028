"""Networks of addresses, as the configuration names them."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Annotated

from pydantic import AfterValidator


def _network(text: str) -> str:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError(
            f"is {text!r}: expected an address or a network, such as '192.0.2.1', '10.0.0.0/8' or 'fd00::/8'"
        ) from None
    return text


#: An address or a network in a configuration.
Network = Annotated[str, AfterValidator(_network)]


class Networks:
    """Addresses of some networks."""

    def __init__(self, named: Iterable[str]) -> None:
        """`named` are addresses and networks. Raises ValueError for what is none."""
        self._networks = [ipaddress.ip_network(name, strict=False) for name in named]

    def __contains__(self, address: object) -> bool:
        """Whether the address, also one of version 4 written as one of version 6, is in one of them."""
        try:
            found = ipaddress.ip_address(str(address))
        except ValueError:
            return False
        mapped = getattr(found, "ipv4_mapped", None)
        return any((mapped or found) in network for network in self._networks)


class Everybody:
    """Every address."""

    def __contains__(self, address: object) -> bool:
        return True
