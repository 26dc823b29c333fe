"""Who a caller is, as far as this node can tell."""

import ipaddress
from functools import lru_cache
from typing import NamedTuple

ADDRESS = "address"
PEER = "peer"
BY_ADDRESS = frozenset({ADDRESS, PEER})  # kinds that nothing was proved for

LOOPBACK = "loopback"
NETWORK = "network"
UNKNOWN = "unknown"


class Principal(NamedTuple):
    """A caller.

    Attributes:
        kind: how it was recognised; "address" is by nothing but where it calls from, "peer" by
            the AE title and the address that the settings have for it.
        name: what the ledger calls it: the address, or the peer's name in the settings.
        address: where it calls from, as the socket or a trusted proxy said.
        ae_title: the calling AE title it claims (DIMSE only). A claim, not a proof: nothing is
            granted for it alone.
    """

    kind: str
    name: str
    address: str
    ae_title: str | None


def of_address(address: str, *, ae_title: str | None = None) -> Principal:
    """The principal that calls from `address` and proves nothing else."""
    return Principal(ADDRESS, address, address, ae_title)


def place(principal: Principal) -> str:
    """Where a principal calls from: "loopback", "network", or "unknown".

    An address may carry an IPv6 scope (`fe80::1%eth0`) or be IPv4 mapped into IPv6
    (`::ffff:127.0.0.1`). What is no IP address, a Unix socket's name for one, is unknown, and so
    is a principal recognised in a way that this version does not have.
    """
    ip = parsed(principal.address) if principal.kind in BY_ADDRESS else None
    if ip is None:
        return UNKNOWN
    return LOOPBACK if ip.is_loopback else NETWORK


@lru_cache(maxsize=1024)
def parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The IP address that `address` is, an IPv4 one that is mapped into IPv6 as itself; None where
    it is none."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return None
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        return ip.ipv4_mapped
    return ip
