"""Networks of addresses: those that the configuration names, and the one that an address stands for."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Annotated

from pydantic import AfterValidator

#: Bits of the network that an IPv6 address stands for: a caller with one address has the whole network.
_NETWORK = 64


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
        found = parse_address(str(address))
        return found is not None and any(found in network for network in self._networks)


class EveryAddress:
    """Every address."""

    def __contains__(self, address: object) -> bool:
        return True


def parse_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that a text is, None if it is none.

    One of version 4 written as one of version 6 is that of version 4: a caller always has the same.
    """
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found


def network_of(address: str) -> str:
    """Whom an address stands for: itself, or its network of 64 bits."""
    found = parse_address(address)
    if found is None:
        return address[:64]
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    return str(ipaddress.ip_network((int(found), _NETWORK), strict=False).network_address)
